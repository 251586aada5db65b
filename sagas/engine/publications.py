"""What code, steps and handlers publish, written in the transaction of what it tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db import transaction

from sagas.definitions import Event, subscriptions
from sagas.definitions.webhooks import COMPENSATED, COMPLETED, FAILED, NEEDS_ATTENTION
from sagas.engine import bulk
from sagas.engine.locked import Locked
from sagas.exceptions import NotStorable
from sagas.messaging.envelopes import current_event
from sagas.messaging.outbox import (
    MOST_FROM_ONE,
    check,
    collecting,
    follow,
    of_saga,
    rows_of,
    told_by_code,
    transaction_depth,
)
from sagas.models import OutboxMessage
from sagas.states import Direction, SagaStatus
from sagas.wake import wake_on_commit

OUTBOX_FIELDS = (
    "event_id",
    "topic",
    "key",
    "seq",
    "data",
    "headers",
    "saga",
    "correlation_id",
    "causation_id",
    "status",
    "tries",
    "error",
)
INBOX_FIELDS = (
    "event_id",
    "subscriber",
    "topic",
    "key",
    "seq",
    "data",
    "headers",
    "correlation_id",
    "status",
    "tries",
    "crashes",
    "in_doubt",
    "error_class",
    "error",
)


def publish(*events: Event) -> list[UUID]:
    """Tell whoever subscribed, and the sagas that wait for it, what happened; return the ids of the events.

    It takes effect when the caller's transaction commits, and not if it is rolled back. Events of one key are
    handled in the order in which they were published; several in one call are safe from waiting for another
    caller who waits for them. Raises `NotStorable`.
    """
    alias = OutboxMessage.objects.db
    cause = current_event.get()
    collected = collecting.get()
    if cause is None:
        told = told_by_code(events)
    else:
        published = 0 if collected is None else len(collected.events)
        name = "" if collected is None else collected.name
        told = [follow(cause, event, name, published + n) for n, event in enumerate(events)]
    for event in told:
        check(event)
    if collected is not None and transaction_depth(alias) <= collected.depth:
        if len(collected.events) + len(told) > MOST_FROM_ONE:
            raise NotStorable(
                f"{collected.name} publishes more than {MOST_FROM_ONE:,} events for one. "
                "Publish one event that stands for all, or start a saga with SubSagas."
            )
        collected.events += told
    else:
        with transaction.atomic(using=alias):
            bulk.write(alias, *inserts([(event, None) for event in told]))
            wake_on_commit(alias)
    return [event.id for event in told if event.id is not None]


def inserts(told: Sequence[tuple[Event, UUID | None]]) -> list[bulk.Insert]:
    """Return the inserts that publish these events, each with the saga that tells it."""
    rows = rows_of(OutboxMessage.objects.db, [event for event, _ in told], [saga for _, saga in told])
    return [
        bulk.Insert(rows.outbox, OUTBOX_FIELDS),
        bulk.Insert(rows.inbox, INBOX_FIELDS),
    ]


def news_of(batch: Iterable[Locked]) -> list[tuple[Event, UUID | None]]:
    """Return the events that tell what became of these sagas, as far as somebody subscribed to them."""
    told: list[tuple[Event, UUID | None]] = []
    for locked in batch:
        for number, entry in enumerate(locked.entries):
            topic = _ENDS.get(entry.to_status, "") if entry.to_status != entry.from_status else ""
            if entry.data.get("attention"):
                told += _news(locked, NEEDS_ATTENTION, number)
            if topic:
                told += _news(locked, topic, number)
    return told


_ENDS = {
    SagaStatus.COMPLETED.value: COMPLETED,
    SagaStatus.COMPENSATED.value: COMPENSATED,
    SagaStatus.FAILED.value: FAILED,
}


def _news(locked: Locked, topic: str, number: int) -> list[tuple[Event, UUID | None]]:
    if not subscriptions.to(topic):
        return []
    saga = locked.saga
    data = {
        "saga": str(saga.pk),
        "kind": saga.kind,
        "definition": saga.definition,
        "key": saga.key,
        "status": saga.status,
        "attention": saga.attention,
        "error_class": saga.error_class,
        "revision": saga.revision + 1,
    }
    event = Event(topic, data, is_way_back=locked.direction is Direction.BACK)
    return [(of_saga(saga, event, f"{saga.pk}:{topic}:{saga.revision}", number), saga.pk)]
