"""What a runner holds of a saga, and what one attempt is and came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sagas.definitions import Element, Event
from sagas.states import Call, Direction, Outcome


@dataclass(slots=True)
class Held:
    """A saga in a runner's hand, with what its steps need to know."""

    id: UUID
    definition: str
    key: str | None
    fence: int
    input: dict[str, Any]
    results: dict[str, dict[str, Any]]
    lease_ends: float
    """By the monotonic clock of this process, measured from before the claim."""
    renewable_until: float = 0.0
    """No renewal after this: by then every attempt in flight was given up. Same clock."""
    traceparent: str = ""
    asked_to_stop: bool = False
    """Somebody wants the saga turned back, or its deadline is over."""

    @property
    def values(self) -> dict[str, Any]:
        """What templates are rendered from: the input, each step's result, and the business key."""
        return {"key": self.key} | self.results | self.input


# Not frozen, though nobody changes them: to make a frozen one takes three times as long.
@dataclass(slots=True, eq=False)
class Attempt:
    """One call to be made of a step's action or compensation."""

    held: Held
    step: Element
    direction: Direction
    number: int
    idempotency_key: str
    undoes: str | None = None
    result: dict[str, Any] | None = None
    """In a compensation: what the action returned, None if that is not known."""
    input: dict[str, Any] | None = None
    """In a compensation: what the action was given, where the saga's input has been edited since."""
    call: Call = Call.ACTION
    event: Event | None = None
    """What the element's `accept` is to look at."""

    @property
    def is_atomic(self) -> bool:
        """Whether its effect commits together with its outcome."""
        return self.step.atomic and self.direction is Direction.FORWARD and self.call is Call.ACTION

    @property
    def runs_on_loop(self) -> bool:
        """Whether its call is made on the runner's event loop, and not in a thread."""
        return self.step.runs_on_loop(self.direction, self.call)

    @property
    def attributes(self) -> dict[str, str | int]:
        """Describe the attempt for traces."""
        return {
            "saga.id": str(self.held.id),
            "saga.definition": self.held.definition,
            "saga.step": self.step.name,
            "saga.direction": self.direction.value,
            "saga.call": self.call.value,
            "saga.attempt": self.number,
        }

    @property
    def label(self) -> str:
        """Name the attempt for logs and errors."""
        way = "" if self.direction is Direction.FORWARD else "compensation of "
        if self.call is not Call.ACTION:
            way = f"{self.call} of "
        return f"attempt {self.number} at {way}step {self.step.name!r} of saga {self.held.id}"


@dataclass(slots=True, kw_only=True)
class Settled:
    """What an attempt came to."""

    attempt: Attempt
    outcome: Outcome
    result: Any = None
    """A dict or None; of a condition its answer, of child sagas a list of their inputs."""
    events: Sequence[Event] = ()
    """What it published."""
    error_class: str = ""
    error: str = ""
    trace: str = ""
    """The traceback of what was not expected."""
    seconds: float = 0.0
    """How long a call took that was not done."""
    delay: timedelta | None = None
    """What the step asked for before its next attempt."""
    ended: bool = True
    """Whether the function is known to have ended; after a time-out it may still run.

    If it has, its slot is given back by whoever settles it.
    """
    sent: float
    """When the call was made, by the monotonic clock of this process."""


class Overtaken(Exception):
    """What an attempt came to does not count any more."""


class NotDone(Exception):
    """An attempt was trusted to be done, and was not."""
