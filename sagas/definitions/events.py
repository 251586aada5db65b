"""What happened somewhere, told to whom it may concern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class Event:
    """Something that happened: `topic` says what, `key` to which business object."""

    topic: str
    data: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    id: UUID | None = None
    """Given by whoever publishes: the same id twice is one event."""
