"""What happened in a case, told by its events and their deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sagas.messaging.outbox import SUBSCRIBER
from sagas.models import InboxMessage, OutboxMessage, Saga

MOST_TOLD = 500


@dataclass
class Moment:
    """An event that was published, and how far it has come with each subscriber."""

    event: OutboxMessage
    deliveries: list[InboxMessage] = field(default_factory=list)


def timeline(saga: Saga, *, most: int = MOST_TOLD) -> Sequence[Moment]:
    """Return the events that share the saga's correlation id, in the order of their publication."""
    events = OutboxMessage.objects.filter(correlation_id=saga.correlation_id).order_by("id")
    moments = {event.event_id: Moment(event) for event in events[:most]}
    deliveries = InboxMessage.objects.filter(correlation_id=saga.correlation_id).exclude(
        subscriber=SUBSCRIBER
    )
    for delivery in deliveries.defer("data").order_by("id"):
        if delivery.event_id in moments:
            moments[delivery.event_id].deliveries.append(delivery)
    return list(moments.values())
