"""Engine transactions that survive a database that does not always answer.

A deadlock, a serialisation failure or a lost connection repeats the transaction, with jitter, and never
counts as a step's failure. A connection that is lost during COMMIT leaves open whether the transaction was
committed: then the rows are asked, under lock, before anything is repeated.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction

from sagas.models import Saga

T = TypeVar("T")

log = logging.getLogger("sagas.engine")

_LOCK_NOT_AVAILABLE = "55P03"
_TRANSIENT_STATES = ("40001", "40P01", _LOCK_NOT_AVAILABLE, "57014", "57P01", "57P02", "57P03", "25P03")
"""Serialisation failure, deadlock, lock time-out, statement time-out, server shutting down, idle too long."""

_STALE_PLAN = "0A000"
"""A migration has changed the columns of what a connection has prepared."""


def is_transient(error: BaseException) -> bool:
    """Say whether repeating the transaction may succeed."""
    state = getattr(error.__cause__, "sqlstate", None)
    if state is not None:
        return state in _TRANSIENT_STATES or state == _STALE_PLAN or state.startswith(("08", "53"))
    return isinstance(error, (OperationalError, InterfaceError))


def _is_worth_another(error: BaseException) -> bool:
    return isinstance(error, (DatabaseError, InterfaceError)) and is_transient(error)


def durably(work: Callable[[], T], *, happened: Callable[[T], bool], tries: int = 8) -> T:
    """Run `work` in a transaction and return its result once it is committed.

    `happened(result)` is asked, in a transaction of its own, when the COMMIT of that result went
    unanswered. Raise the database's error when it is not transient, or when `tries` transactions in a row
    met one.
    """
    alias = Saga.objects.db
    for attempt in range(1, tries + 1):
        done: list[T] = []
        try:
            with transaction.atomic(using=alias):
                done.append(work())
            return done[0]
        except BaseException as error:
            if connections[alias].in_atomic_block:
                raise
            renew_connection(alias, error)
            if not _is_worth_another(error) or attempt == tries:
                raise
            log.warning("A transaction met %r and is repeated (%d of %d).", error, attempt, tries)
        time.sleep(min(0.05 * 2**attempt, 5) * random.random())
        if done and _ask(happened, done[0]):
            return done[0]
    raise AssertionError("unreachable")


def renew_connection(alias: str, error: BaseException) -> None:
    """Close the connection that met this error if it is of no use any more; the next statement opens another.

    That is one that was lost; that was interrupted in its COMMIT, and would go on within that transaction for
    ever; or whose prepared statements are stale.
    """
    if getattr(error.__cause__, "sqlstate", None) == _STALE_PLAN:
        connections[alias].close()
    else:
        connections[alias].close_if_unusable_or_obsolete()


def _ask(happened: Callable[[T], bool], result: T) -> bool:
    return durably(partial(happened, result), happened=lambda answer: True)


class LockTimeout(Exception):
    """Somebody else holds what was wanted, and takes their time."""


@contextmanager
def promptly(patience: timedelta) -> Iterator[None]:
    """Do the block in a transaction or a savepoint, and wait for nobody's lock in it for longer than this.

    Raises `LockTimeout`; a transaction around the block goes on. On SQLite, where all writers wait for each
    other, its own time-out counts.
    """
    connection = connections[Saga.objects.db]
    is_part = connection.in_atomic_block
    try:
        with transaction.atomic(using=connection.alias):
            if connection.vendor != "postgresql":
                yield
                return
            with connection.cursor() as cursor:
                limit = f"{patience // timedelta(milliseconds=1)}ms"
                cursor.execute(
                    "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)", [limit]
                )
                before = cursor.fetchone()[0]
            yield
            if is_part:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            raise LockTimeout from error
        raise


def check_constraints_at_once() -> None:
    """Have a deferred constraint fail in the savepoint that violates it, not at everybody's COMMIT."""
    connection = connections[Saga.objects.db]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
