"""What a step's function is given."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sagas.definitions.events import Event

_log = logging.getLogger("sagas.steps")


@dataclass(frozen=True)
class Callback:
    """Where another system answers a wait of a saga, once, and what it signs its answer with."""

    url: str
    secret: str = field(repr=False)


def _no_callback(wait: str) -> Callback:
    raise ValueError(f"No saga is at hand that could be called back to {wait!r}.")


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
    idempotency_key: str
    """The same for every attempt of this step in this direction, and for no other."""
    undoes: str | None = None
    """In a compensation: the idempotency key of the action to undo."""
    result: Mapping[str, Any] | None = None
    """In a compensation: what the action returned; None if whether it took effect is not known."""
    deadline: datetime | None = None
    """When this attempt is given up."""
    traceparent: str | None = None
    """The W3C trace context of this attempt, for requests it makes; None if the saga has no trace."""
    log: logging.Logger = field(default=_log, repr=False, compare=False)
    """Its lines carry the saga's id."""
    published: list[Event] = field(default_factory=list, repr=False, compare=False)
    """What `publish` collected."""
    asked_to_stop: Callable[[], bool] = field(default=lambda: False, repr=False, compare=False)
    issue_callback: Callable[[str], Callback] = field(default=_no_callback, repr=False, compare=False)

    @property
    def cancel_requested(self) -> bool:
        """Whether the saga is to turn back: a long step may look, and raise `PermanentFailure`."""
        return self.asked_to_stop()

    def callback(self, wait: str) -> Callback:
        """Return where another system is to answer the `WaitForEvent` of this name: the same in each attempt.

        Raises `DefinitionError` if this saga has none, or its key is made of what is not known yet.
        """
        return self.issue_callback(wait)

    def publish(self, topic: str, data: Mapping[str, Any] | None = None, *, key: str = "") -> None:
        """Tell waiting sagas that something happened, if and when this attempt is recorded as done."""
        self.published.append(Event(topic, dict(data or {}), key))
