"""Events on their way: rows in the sender's own transaction, delivered by whoever runs sagas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from sagas.canonical import gate
from sagas.messaging.outbox import MAX_TOPIC, SUBSCRIBER, check_address
from sagas.models import InboxMessage
from sagas.wake import wake_on_commit

__all__ = ["MAX_TOPIC", "SUBSCRIBER", "offer"]


def offer(
    topic: str, data: Mapping[str, Any] | None = None, *, key: str = "", id: UUID | None = None
) -> UUID:
    """Tell the sagas that wait for it that something happened; return the event's id.

    It takes effect when the caller's transaction commits. With an `id` of the sender's the same event may
    be offered again and counts once. Raises `NotStorable`.
    """
    event_id = id or uuid4()
    check_address(topic, key)
    stored = gate(dict(data or {}), f"The data of event {topic!r}")
    InboxMessage.objects.bulk_create(
        [InboxMessage(event_id=event_id, subscriber=SUBSCRIBER, topic=topic, key=key, data=stored)],
        ignore_conflicts=True,
    )
    wake_on_commit(InboxMessage.objects.db)
    return event_id
