"""Calls the functions that subscribed, and writes down what came of it.

What an atomic handler writes to this database, what it publishes and the word that it has handled the event
commit together, so that each event takes effect once per subscriber. A group of deliveries shares a
transaction; whatever goes wrong with that voids the whole group, and each is made alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F

from sagas.canonical import clean_text
from sagas.choreography.delivery import Delivery, Outcome
from sagas.clock import DatabaseTime
from sagas.definitions import Event, is_async
from sagas.engine import bulk, publications
from sagas.engine.attempts import NotDone, Overtaken
from sagas.engine.queries import Among, fetch
from sagas.engine.transactions import check_constraints_at_once, durably, is_transient
from sagas.exceptions import PermanentFailure, RetryLater
from sagas.messaging.envelopes import current_event
from sagas.messaging.outbox import Collected, collecting, transaction_depth
from sagas.models import InboxMessage, InboxStatus
from sagas.telemetry import tracing
from sagas.wake import wake_on_commit

log = logging.getLogger("sagas.choreography")

OUTCOME_FIELDS = ("status", "in_doubt", "held_by", "due_at", "error_class", "error", "ended_at")


def perform(
    group: Sequence[Delivery],
    worker: UUID,
    *,
    trusting: bool = False,
    begin: Callable[[Delivery], None] = lambda delivery: None,
) -> list[Outcome]:
    """Make the calls of a group to one subscriber, and write down what came of them.

    `begin` is told of each call before it is made. They are made in one transaction with what is written;
    without savepoints if all are trusted to succeed: then `NotDone` is raised when one does not. Raises
    whatever else voided the group; nothing of it has happened. Calls of a subscriber that is not atomic are
    made outside, and void nothing.
    """
    if not group[0].subscription.atomic:
        return _perform_outside(group, worker, begin)
    with transaction.atomic(using=InboxMessage.objects.db):
        check_constraints_at_once()
        outcomes = []
        for delivery in group:
            begin(delivery)
            outcomes.append(_call_trustingly(delivery) if trusting else _call_guarded(delivery))
        _settle(worker, outcomes)
    return outcomes


def _perform_outside(
    group: Sequence[Delivery], worker: UUID, begin: Callable[[Delivery], None]
) -> list[Outcome]:
    """Make each call without a transaction, and write what came of it at once: it is not to be made again."""
    outcomes = []
    for delivery in group:
        begin(delivery)
        try:
            outcome = Outcome(delivery, published=_call(delivery))
        except BaseException as error:
            _log(delivery, error)
            outcome = Outcome(delivery, error)
        try:
            _write_down(worker, outcome)
        except Overtaken as overtaken:
            log.warning("%s", overtaken)
        else:
            outcomes.append(outcome)
    return outcomes


def _write_down(worker: UUID, outcome: Outcome) -> None:
    """Settle one call, also if the database stumbles: it was made, and is not to be made again for that."""

    def is_written(_: None) -> bool:
        return not _lock(worker, [outcome.delivery.pk])

    durably(lambda: _settle(worker, [outcome]), happened=is_written)


def _call_trustingly(delivery: Delivery) -> Outcome:
    try:
        return Outcome(delivery, published=_call(delivery))
    except BaseException as error:
        raise NotDone(delivery.label) from error


def _call_guarded(delivery: Delivery) -> Outcome:
    """Make the call in a savepoint, which only a call that succeeds leaves behind."""
    try:
        with transaction.atomic(using=InboxMessage.objects.db):
            return Outcome(delivery, published=_call(delivery))
    except BaseException as error:
        if isinstance(error, (DatabaseError, InterfaceError)) and is_transient(error):
            raise  # The transaction is gone, and everybody's calls with it.
        _log(delivery, error)
        return Outcome(delivery, error)


def _log(delivery: Delivery, error: BaseException) -> None:
    if not isinstance(error, (PermanentFailure, RetryLater)):
        log.warning("%s raised %s.", delivery.label, type(error).__name__, exc_info=error)


def _call(delivery: Delivery) -> list[Event]:
    """Call the subscriber; return what it published."""
    handler: Any = delivery.subscription.handler
    if is_async(handler):
        handler = async_to_sync(handler)
    collected = Collected(transaction_depth(InboxMessage.objects.db), delivery.subscription.name)
    tokens = current_event.set(delivery.event), collecting.set(collected)
    try:
        with tracing(None, delivery.event.traceparent, delivery):
            handler(delivery.event)
    finally:
        current_event.reset(tokens[0])
        collecting.reset(tokens[1])
    return collected.events


def _settle(worker: UUID, outcomes: Sequence[Outcome]) -> None:
    """Write what came of calls, in their own transaction. Raise `Overtaken` if one of them counts no more.

    First the cases and keys of what is published are locked and then the deliveries, as whoever closes a case
    does: none waits for another.
    """
    inserts = publications.inserts([(event, None) for outcome in outcomes for event in outcome.published])
    by_pk = {outcome.delivery.pk: outcome for outcome in outcomes}
    held = {pk: (now, tries) for now, pk, tries in _lock(worker, by_pk)}
    rows = []
    for pk, outcome in by_pk.items():
        now, tries = held.get(pk, (None, 0))
        if now is None or tries != outcome.delivery.number:
            raise Overtaken(f"The {outcome.delivery.label} was given up, or its case was closed.")
        rows.append(_judged(outcome, now))
    bulk.write(InboxMessage.objects.db, bulk.Update(rows, OUTCOME_FIELDS), *inserts)
    if any(insert.rows for insert in inserts):
        wake_on_commit(InboxMessage.objects.db)


def _lock(worker: UUID, keys: Collection[int]) -> list[tuple[Any, ...]]:
    rows = InboxMessage.objects.select_for_update(no_key=True)
    ours = rows.filter(Among(F("pk"), list(keys)), held_by=worker, status=InboxStatus.DUE)
    return fetch(ours.order_by("pk").values_list(DatabaseTime(), "pk", "tries"))


def _judged(outcome: Outcome, now: datetime) -> InboxMessage:
    """Return the row as it stands after a call."""
    delivery, error = outcome.delivery, outcome.error
    row = InboxMessage(pk=delivery.pk, status=InboxStatus.DONE, due_at=None, held_by=None, ended_at=now)
    if error is None:
        return row
    knows_nothing = not isinstance(error, (PermanentFailure, RetryLater))
    row.in_doubt = delivery.in_doubt or (knows_nothing and not delivery.subscription.atomic)
    row.error_class = clean_text(type(error).__name__)[:200]
    row.error = clean_text(str(error))
    if outcome.is_final:
        row.status = InboxStatus.DEAD
        return row
    asked = error.delay if isinstance(error, RetryLater) else None
    row.status, row.ended_at = InboxStatus.DUE, None
    row.due_at = now + (delivery.subscription.retry.delay(delivery.counted) if asked is None else asked)
    return row


def give_up(delivery: Delivery, worker: UUID, error: BaseException) -> Outcome:
    """Write that a call failed whose transaction is not there to say so; what it may still do is void."""
    outcome = Outcome(delivery, error)
    with transaction.atomic(using=InboxMessage.objects.db):
        for now, _pk, tries in _lock(worker, [delivery.pk]):
            if tries == delivery.number:
                rows = [_judged(outcome, now)]
                bulk.write(InboxMessage.objects.db, bulk.Update(rows, OUTCOME_FIELDS))
    return outcome
