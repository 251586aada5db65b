"""Brings events to the functions that subscribed: take what is due, call, write down what came of it.

What an atomic handler writes to this database, what it publishes and the word that it has handled the event
commit together, so that each event takes effect once per subscriber. A group of deliveries shares a
transaction; whatever goes wrong with that voids the whole group, and each is made alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeAlias
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F

from sagas.canonical import clean_text
from sagas.clock import DatabaseTime
from sagas.conf import saga_settings
from sagas.definitions import Event, Subscription, is_async, subscriptions
from sagas.engine import bulk, publications
from sagas.engine.attempts import NotDone, Overtaken
from sagas.engine.takeover import batch_size, lone_crashes
from sagas.engine.transactions import check_constraints_at_once, durably, is_transient
from sagas.exceptions import PermanentFailure, RetryLater
from sagas.messaging.backlog import deliveries_due
from sagas.messaging.envelopes import current_event, event_of
from sagas.messaging.outbox import Collected, collecting, transaction_depth
from sagas.models import InboxMessage, InboxStatus
from sagas.telemetry import tracing
from sagas.wake import wake_on_commit

log = logging.getLogger("sagas.choreography")

FIELDS = (
    "id",
    "event_id",
    "subscriber",
    "topic",
    "key",
    "seq",
    "data",
    "headers",
    "correlation_id",
    "tries",
    "crashes",
    "in_doubt",
    "held_by",
    "at",
    "began_at",
)
Found: TypeAlias = tuple[datetime, dict[str, Any]]
CLAIM_FIELDS = (
    "status",
    "tries",
    "crashes",
    "in_doubt",
    "held_by",
    "due_at",
    "began_at",
    "error_class",
    "error",
)
OUTCOME_FIELDS = ("status", "in_doubt", "held_by", "due_at", "error_class", "error", "ended_at")


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One call to be made of a subscriber, with one event."""

    pk: int
    event: Event
    subscription: Subscription
    number: int
    """Counts the calls, those lost with their worker included."""
    counted: int
    """Counts those that the retry policy does."""
    since_first: timedelta
    in_doubt: bool = False
    """An earlier call may have taken effect."""

    @property
    def attributes(self) -> dict[str, str | int]:
        """Describe the delivery for traces."""
        return {
            "saga.definition": self.event.topic,
            "saga.step": self.subscription.name,
            "saga.event": str(self.event.id),
            "saga.attempt": self.number,
        }

    @property
    def label(self) -> str:
        """Name the delivery for logs and errors."""
        return f"call {self.number} of {self.subscription.name} with event {self.event.topic} {self.event.id}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call came to."""

    delivery: Delivery
    error: BaseException | None = None
    published: Sequence[Event] = ()

    @property
    def is_final(self) -> bool:
        """Whether the event is not brought to the subscriber again, unless a person says so."""
        policy, delivery = self.delivery.subscription.retry, self.delivery
        return (
            self.error is None
            or isinstance(self.error, PermanentFailure)
            or not policy.allows(delivery.counted, delivery.since_first)
        )


@dataclass
class Taken:
    """What one claim took."""

    deliveries: list[Delivery] = field(default_factory=list)
    full: bool = False
    """There may be more."""
    apart: bool = False
    """Some that lost their worker are due, or were taken: claim no others until the hand is empty."""
    dead: list[str] = field(default_factory=list)
    """The correlation ids of those that were given up, for they kill their workers."""


def earliest() -> datetime | None:
    """Return when the next delivery is due, or was."""
    return deliveries_due(later=True).values_list("due_at", flat=True).first() if len(subscriptions) else None


def claim(worker: UUID, *, limit: int, lease: timedelta, alone: bool = True) -> Taken:
    """Take up to `limit` deliveries that are due, each counted as a call from here on.

    `alone` says that the worker has nothing in hand, so that one under suspicion of killing it may be taken.
    """
    if not len(subscriptions):
        return Taken()

    def ours(taken: Taken) -> bool:
        keys = [delivery.pk for delivery in taken.deliveries]
        return bool(keys) and InboxMessage.objects.filter(pk__in=keys, held_by=worker).exists()

    return durably(lambda: _claim(worker, limit, lease, alone), happened=ours)


def _claim(worker: UUID, limit: int, lease: timedelta, alone: bool) -> Taken:
    rows = deliveries_due().select_for_update(skip_locked=True, no_key=True)[:limit]
    found = [
        (now, dict(zip(FIELDS, row, strict=True)))
        for now, *row in bulk.fetch(rows.values_list(DatabaseTime(), *FIELDS))
    ]
    taken = Taken(full=len(found) >= limit)
    found, taken.apart = _company(found, alone=alone)
    written = []
    for now, row in found:
        crashes = _crashes(row)
        message = InboxMessage(
            pk=row["id"],
            status=InboxStatus.DUE,
            tries=row["tries"] + 1,
            crashes=crashes,
            in_doubt=row["in_doubt"] or (crashes > row["crashes"] and not _subscription(row).atomic),
            held_by=worker,
            due_at=now + lease,
            began_at=row["began_at"] or now,
            error_class="",
            error="",
        )
        written.append(message)
        if lone_crashes(crashes, limit=saga_settings().batch) >= saga_settings().crash_limit:
            message.status, message.held_by, message.tries = InboxStatus.DEAD, None, row["tries"]
            message.error_class = "CrashLoop"
            message.error = f"Its worker was lost {crashes} times while this event was handled."
            taken.dead.append(row["correlation_id"])
        else:
            taken.deliveries.append(_delivery(message, row, now))
    bulk.write(InboxMessage.objects.db, bulk.Update(written, CLAIM_FIELDS))
    return taken


def _company(found: list[Found], *, alone: bool) -> tuple[list[Found], bool]:
    """Choose who may be taken together, and say whether others have to wait until the hand is empty.

    Those that lost a worker may have killed it, and go apart: fewer with each crash, and at last alone.
    """
    crashes = [_crashes(row) for _now, row in found]
    worst = max(crashes, default=0)
    if not worst:
        return found, False
    if not alone:
        return [each for each, lost in zip(found, crashes, strict=True) if not lost], True
    size = batch_size(worst, limit=saga_settings().batch)
    return [each for each, lost in zip(found, crashes, strict=True) if lost == worst][:size], True


def _crashes(row: dict[str, Any]) -> int:
    return int(row["crashes"] + (row["held_by"] is not None))


def _delivery(message: InboxMessage, row: dict[str, Any], now: datetime) -> Delivery:
    return Delivery(
        pk=message.pk,
        event=replace(event_of(SimpleNamespace(**row)), attempt=message.tries - message.crashes),
        subscription=_subscription(row),
        number=message.tries,
        counted=message.tries - message.crashes,
        since_first=now - (message.began_at or now),
        in_doubt=message.in_doubt,
    )


def _subscription(row: dict[str, Any]) -> Subscription:
    found = subscriptions.get(row["subscriber"])
    assert found is not None  # Only what the code knows is taken.
    return found


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
    ours = rows.filter(bulk.Among(F("pk"), list(keys)), held_by=worker, status=InboxStatus.DUE)
    return bulk.fetch(ours.order_by("pk").values_list(DatabaseTime(), "pk", "tries"))


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


def release(group: Collection[Delivery], worker: UUID) -> None:
    """Give deliveries back that were not made, uncounted. Those that were written after all stay so."""
    InboxMessage.objects.filter(
        pk__in=[delivery.pk for delivery in group], held_by=worker, status=InboxStatus.DUE
    ).update(held_by=None, due_at=DatabaseTime(), tries=F("tries") - 1)


def renew(group: Collection[Delivery], worker: UUID, *, lease: timedelta) -> None:
    """Extend the lease of what is in hand."""
    InboxMessage.objects.filter(
        pk__in=[delivery.pk for delivery in group], held_by=worker, status=InboxStatus.DUE
    ).update(due_at=DatabaseTime() + lease)
