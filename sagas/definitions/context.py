"""What a step's function is given."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

_log = logging.getLogger("sagas.steps")


@dataclass(frozen=True, kw_only=True, slots=True)
class StepContext:
    """One attempt of one step: whose it is, what it works on, and under which key."""

    saga_id: UUID
    key: str | None
    """The saga's business key."""
    input: Mapping[str, Any]
    """The saga's input as its serializer represents it: JSON primitives, money a string."""
    results: Mapping[str, Mapping[str, Any]]
    """The results of earlier stages by step name; in a compensation, as its action saw them."""
    attempt: int
    """Counts from 1."""
    idempotency_key: UUID
    """The same for every attempt of this step in this direction, and for no other."""
    undoes: UUID | None = None
    """In a compensation: the idempotency key of the action to undo."""
    result: Mapping[str, Any] | None = None
    """In a compensation: what the action returned; None if whether it took effect is not known."""
    deadline: datetime | None = None
    """When this attempt is given up."""
    log: logging.Logger = field(default=_log, repr=False, compare=False)
    """Its lines carry the saga's id."""
