"""What steps and handlers publish, written with what came of them in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sagas.definitions import Event
from sagas.engine import bulk
from sagas.messaging.outbox import rows_of
from sagas.models import OutboxMessage

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


def inserts(told: Sequence[tuple[Event, UUID | None]]) -> list[bulk.Insert]:
    """Return the inserts that publish these events, each with the saga that tells it."""
    rows = rows_of(OutboxMessage.objects.db, [event for event, _ in told], [saga for _, saga in told])
    return [
        bulk.Insert(rows.outbox, OUTBOX_FIELDS),
        bulk.Insert(rows.inbox, INBOX_FIELDS),
    ]
