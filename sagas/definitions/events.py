"""What happened somewhere, told to whom it may concern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class Event:
    """Something that happened: `topic` says what, `key` to which business object.

    Events of one key are handled in the order in which they were published. Whoever publishes gives the first
    five fields; the others are found out, and told to whoever handles it.
    """

    topic: str
    data: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    id: UUID | None = None
    """Given by whoever publishes: the same id twice is one event."""
    correlation_id: str = ""
    """Ties the events of one case together. Empty: that of the event or saga that causes it, or a new one."""
    causation_id: str = ""
    """The id of the event, or of the saga, that caused it."""
    source: str = ""
    """Where it comes from."""
    publisher: str = ""
    """The subscriber or the definition that published it here; empty: other code."""
    time: datetime | None = None
    """When it was published."""
    traceparent: str = ""
    hops: int = 0
    """How many events led to it, one causing the next."""
    attempt: int = 0
    """Counts the calls of whoever handles it, from 1; those that were lost with their worker not."""
    undoes: UUID | None = None
    """The event whose consequences it takes back, when a person wants the case undone."""
    is_way_back: bool = False
    """Whether it belongs to the undoing of its case: it undoes an event, or follows from one that does."""
