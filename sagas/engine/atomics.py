"""Attempts whose effect and outcome commit together.

A group of them shares a transaction: each function runs, in a savepoint of its own unless all are trusted,
then the sagas are locked, and what came of it is settled. Whatever goes wrong with that voids the whole
group, and each runs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from uuid import UUID

from django.db import DatabaseError, InterfaceError, transaction

from sagas.engine.attempts import Attempt, Settled
from sagas.engine.functions import call_here, call_trustingly
from sagas.engine.settlement import Settlement, Settling, is_written
from sagas.engine.slots import Reservation
from sagas.engine.transactions import check_constraints_at_once, durably, renew_connection
from sagas.models import Saga


def perform(
    group: Sequence[Attempt], settling: Settling, *, trusting: bool = False
) -> tuple[Settlement, float]:
    """Make the calls of a group and settle it, in one transaction; return also the seconds the calls took.

    Raises what voided it: nothing of the group has happened then. That is `NotDone` when a call was
    not done that was trusted to be.
    """
    call = call_trustingly if trusting else call_here
    with Reservation(settling.slots, group) as reservation:
        settlement, seconds = _settled(group, settling, reservation, call)
    settlement.conclude()
    return settlement, seconds


def _settled(
    group: Sequence[Attempt],
    settling: Settling,
    reservation: Reservation,
    call: Callable[[Attempt], Settled],
) -> tuple[Settlement, float]:
    began = ended = monotonic()
    settlement = None
    try:
        with transaction.atomic(using=Saga.objects.db):
            check_constraints_at_once()
            outcomes: dict[UUID, list[Settled]] = {}
            for attempt in group:
                outcomes.setdefault(attempt.held.id, []).append(call(attempt))
            ended = monotonic()
            settlement = settling.settle_strictly(outcomes, reservation)
    except (DatabaseError, InterfaceError) as error:
        with suppress(DatabaseError, InterfaceError):
            renew_connection(Saga.objects.db, error)
            if settlement is not None and _was_committed(settlement):
                return settlement, ended - began  # Only the answer to its COMMIT was lost.
        raise
    return settlement, ended - began


def _was_committed(settlement: Settlement) -> bool:
    return durably(partial(is_written, settlement), happened=lambda _: True)
