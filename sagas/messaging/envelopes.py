"""An event as rows keep it, and as others read it: CloudEvents 1.0."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sagas.clock import utc
from sagas.definitions import Event

current_event: ContextVar[Event | None] = ContextVar("current_event", default=None)
"""The event that is being handled."""


class Stored(Protocol):
    """A row that holds an event."""

    event_id: UUID
    topic: str
    key: str
    seq: int
    data: Any
    headers: Any
    correlation_id: str
    at: datetime


def headers_of(event: Event) -> dict[str, Any]:
    """Return what is stored of an event beside topic, key, data and correlation."""
    found = {
        "source": event.source,
        "publisher": event.publisher,
        "causation_id": event.causation_id,
        "traceparent": event.traceparent,
        "hops": event.hops,
        "undoes": str(event.undoes or ""),
        "is_way_back": event.is_way_back,
    }
    return {name: value for name, value in found.items() if value}


def event_of(row: Stored) -> Event:
    """Return the event that a row holds."""
    headers = row.headers
    return Event(
        topic=row.topic,
        data=row.data,
        key=row.key,
        id=row.event_id,
        correlation_id=row.correlation_id,
        causation_id=headers.get("causation_id", ""),
        source=headers.get("source", ""),
        publisher=headers.get("publisher", ""),
        time=row.at,
        traceparent=headers.get("traceparent", ""),
        hops=headers.get("hops", 0),
        undoes=UUID(headers["undoes"]) if "undoes" in headers else None,
        is_way_back=headers.get("is_way_back", False),
    )


def cloud_event(row: Stored) -> dict[str, Any]:
    """Return the event of a row in the form of CloudEvents 1.0, its attributes and ours."""
    found = cloud_event_of(event_of(row))
    return found | {"sequence": str(row.seq)} if row.seq else found


def cloud_event_of(event: Event) -> dict[str, Any]:
    """Return an event in the form of CloudEvents 1.0, its attributes and ours."""
    assert event.time is not None
    found = {
        "specversion": "1.0",
        "id": str(event.id),
        "source": event.source,
        "type": event.topic,
        "subject": event.key,
        "time": utc(event.time),
        "datacontenttype": "application/json",
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "traceparent": event.traceparent,
        "hops": event.hops,
        "data": dict(event.data),
    }
    return {name: value for name, value in found.items() if value not in ("", None)}
