"""Reads the books of all events from the database and the ledger."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sagas.messaging.envelopes import event_of
from sagas.models import InboxMessage, OutboxMessage, Saga
from sagas.states import SagaKind
from tests.chaos.event_books import Case, Delivered, Effect, EventBooks, Published
from tests.chaos.event_load import ToldOfEvents
from tests.chaos.ledger import Kind, Ledger
from tests.chaos.models import Entry, Handled
from tests.chaos.parts import BY_NAME, CASE, WRITING


def event_books(ledger: Ledger, told: ToldOfEvents) -> EventBooks:
    """Read the books of the events there are."""
    effects = Handled.objects.order_by("at", "pk")
    wrote = Entry.objects.filter(step=WRITING, kind=Kind.DONE).values_list("saga", flat=True)
    return EventBooks(
        published=[_published(row) for row in OutboxMessage.objects.order_by("pk")],
        deliveries=[
            _delivered(row)
            for row in InboxMessage.objects.filter(subscriber__in=BY_NAME).prefetch_related("acts")
        ],
        handled=[
            Effect(event=str(row.event), subscriber=row.subscriber, told=str(row.told or ""), at=row.at)
            for row in effects
        ],
        lines=[line for line in ledger.lines() if line.event],
        cases=[
            Case(id=row.correlation_id, status=row.status)
            for row in Saga.objects.filter(kind=SagaKind.CHOREOGRAPHY, definition=CASE)
        ],
        asked=frozenset(told.asked),
        answered=frozenset(told.answered),
        forgotten=told.forgotten,
        written=Counter(str(saga) for saga in wrote),
    )


def _published(row: OutboxMessage) -> Published:
    event = event_of(row)
    return Published(
        number=row.pk,
        id=str(event.id),
        topic=event.topic,
        case=event.correlation_id,
        key=event.key,
        seq=row.seq,
        cause=event.causation_id,
        hops=event.hops,
        is_way_back=event.is_way_back,
        undoes=str(event.undoes or ""),
        saga=str(row.saga_id or ""),
        at=row.at.timestamp(),
    )


def _delivered(row: InboxMessage) -> Delivered:
    acts = [act for act in row.acts.all() if not act.refusal]
    return Delivered(
        event=str(row.event_id),
        subscriber=row.subscriber,
        status=row.status,
        error_class=row.error_class,
        error=row.error,
        crashes=row.crashes + sum(act.data["crashes"] for act in acts if act.operation == "requeue"),
        requeued=sum(act.operation == "requeue" for act in acts),
        resolved_at=next((_seconds(act.at) for act in acts if act.operation == "resolve"), None),
        ended_at=_seconds(row.ended_at),
    )


def _seconds(at: datetime | None) -> float:
    return 0.0 if at is None else at.timestamp()
