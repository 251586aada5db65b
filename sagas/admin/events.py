"""Events as they belong to one saga: what was published under its correlation id, and who was told."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.utils.safestring import SafeString

from sagas.admin.badges import badge
from sagas.admin.payloads import payload
from sagas.models import InboxMessage, InboxStatus, OutboxMessage, Saga
from sagas.operations.privacy import Shown

MOST = 100

_MARKS = {
    InboxStatus.PENDING: ("○", "quiet"),
    InboxStatus.KEPT: ("…", "waiting"),
    InboxStatus.TAKEN: ("✓", "good"),
    InboxStatus.DUE: ("►", "active"),
    InboxStatus.DONE: ("✓", "good"),
    InboxStatus.DEAD: ("✕", "bad"),
    InboxStatus.RESOLVED: ("⊘", "quiet"),
}


@dataclass(frozen=True)
class EventRow:
    """An event, and its deliveries."""

    event: OutboxMessage
    data: SafeString
    deliveries: list[tuple[InboxMessage, SafeString]]


def event_rows(saga: Saga, shown: Shown) -> list[EventRow]:
    """Return the events of a saga’s correlation id: two statements, one where there are none."""
    published = OutboxMessage.objects.filter(correlation_id=saga.correlation_id).order_by("id")
    events = list(published[:MOST])
    if not events:
        return []
    deliveries = defaultdict(list)
    for message in InboxMessage.objects.filter(correlation_id=saga.correlation_id).order_by("id")[: MOST * 4]:
        deliveries[message.event_id].append((message, delivery_badge(message)))
    return [EventRow(event, payload(shown(event.data)), deliveries[event.event_id]) for event in events]


def delivery_badge(message: InboxMessage) -> SafeString:
    """Return how far an event has come on its way to a subscriber."""
    status = InboxStatus(message.status)
    return badge(str(status.label), *_MARKS[status])
