"""Events on their way to sagas: rows in the sender's own transaction, delivered by whoever runs sagas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from sagas.canonical import gate, is_storable
from sagas.exceptions import NotStorable
from sagas.keys import MAX_KEY
from sagas.models import InboxMessage
from sagas.wake import wake_on_commit

SUBSCRIBER = "sagas"
"""Under which name the waits of sagas receive events."""
MAX_TOPIC = 100


def offer(
    topic: str, data: Mapping[str, Any] | None = None, *, key: str = "", id: UUID | None = None
) -> UUID:
    """Tell the sagas that wait for it that something happened; return the event's id.

    It takes effect when the caller's transaction commits. With an `id` of the sender's the same event may
    be offered again and counts once. Raises `NotStorable`.
    """
    event_id = id or uuid4()
    if not (0 < len(topic) <= MAX_TOPIC and len(key) <= MAX_KEY and is_storable(topic + key)) or ":" in topic:
        raise NotStorable(
            f"The event {topic[:40]!r} was refused: its topic must have 1 to {MAX_TOPIC} characters without "
            f"a colon, its key at most {MAX_KEY}, and neither may hold NUL or lone surrogates."
        )
    stored = gate(dict(data or {}), f"The data of event {topic!r}")
    InboxMessage.objects.bulk_create(
        [InboxMessage(event_id=event_id, subscriber=SUBSCRIBER, topic=topic, key=key, data=stored)],
        ignore_conflicts=True,
    )
    wake_on_commit(InboxMessage.objects.db)
    return event_id
