"""What a definition's list of steps is made of: `Step` and `Parallel`, and the `Participant` called."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any, Final, TypeAlias

from sagas.definitions.context import StepContext
from sagas.definitions.policies import PERSISTENT, STANDARD, RetryPolicy
from sagas.states import Direction

Result: TypeAlias = Mapping[str, Any] | None
StepFunction: TypeAlias = Callable[[StepContext], Result] | Callable[[StepContext], Awaitable[Result]]


class Exhausted(enum.Enum):
    """What follows when a step's attempts are used up before the pivot."""

    COMPENSATE = "compensate"
    """Turn back."""
    HALT = "halt"
    """Wait for a person."""


COMPENSATE: Final = Exhausted.COMPENSATE
HALT: Final = Exhausted.HALT


class Resend(enum.Enum):
    """Bounds on sending one idempotency key again that are not a length of time."""

    ALWAYS = "always"
    """The participant keeps its keys for ever."""
    NEVER = "never"
    """The participant knows no keys: what may have been sent once is not sent again."""


ALWAYS: Final = Resend.ALWAYS
NEVER: Final = Resend.NEVER

WIRE_TIME = timedelta(seconds=30)
"""How long, beyond a step's time-out, a call is by default taken to be possibly on its way."""


@dataclass(frozen=True)
class Participant:
    """A service that steps call, and what must be known of it to call it again safely."""

    name: str
    resend: Resend | timedelta = timedelta(hours=24)
    """How long after the first send the same idempotency key may be sent again."""
    max_inflight: timedelta | None = None
    """How long after it was sent a call may still take effect; None is the time-out plus 30 seconds."""


@dataclass(frozen=True)
class Step:
    """One local transaction of a participant, with the compensation that undoes it.

    A step without `participant` touches this database only.
    """

    action: StepFunction
    _: KW_ONLY
    compensation: StepFunction | None = None
    read_only: bool = False
    """Nothing happens outside: there is nothing to undo, and an unknown outcome is passed by."""
    irrevocable: str = ""
    """Why it cannot be undone; shown wherever a person decides about the way back."""
    pivot: bool = False
    """Once done there is no way back."""
    participant: Participant | None = None
    retry: RetryPolicy = STANDARD
    timeout: timedelta = timedelta(seconds=30)
    undo_retry: RetryPolicy = PERSISTENT
    undo_timeout: timedelta = timedelta(seconds=60)
    on_exhausted: Exhausted | None = None
    """None: as the definition says."""
    name: str = ""
    """Known by it in the database: keep it when the function is renamed. Empty: the function's name."""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", getattr(self.action, "__name__", ""))
        for option in ("timeout", "undo_timeout"):
            if getattr(self, option) <= timedelta(0):
                raise ValueError(f"Step {self.name!r}: {option} must be longer than nothing.")

    def function(self, direction: Direction) -> StepFunction:
        """Return what runs in this direction. Raise `LookupError` where nothing undoes the step."""
        if direction is Direction.FORWARD:
            return self.action
        if self.compensation is None:
            raise LookupError(f"Step {self.name!r} has no compensation.")
        return self.compensation

    def time_limit(self, direction: Direction) -> timedelta:
        """Return how long one attempt may take."""
        return self.timeout if direction is Direction.FORWARD else self.undo_timeout

    def policy(self, direction: Direction) -> RetryPolicy:
        """Return how attempts repeat."""
        return self.retry if direction is Direction.FORWARD else self.undo_retry

    @property
    def max_inflight(self) -> timedelta:
        """How long after it was sent an attempt of unknown outcome may still take effect."""
        if self.participant is not None and self.participant.max_inflight is not None:
            return self.participant.max_inflight
        return self.timeout + WIRE_TIME

    def may_resend(self, elapsed: timedelta) -> bool:
        """Say whether its key may be sent again this long after it was first sent."""
        if self.participant is None or self.participant.resend is ALWAYS:
            return True
        if self.participant.resend is NEVER:
            return False
        return elapsed < self.participant.resend


class Parallel:
    """Steps that run side by side and are undone side by side. Siblings of a failed step are awaited."""

    def __init__(self, *elements: Step) -> None:
        self.elements = elements


def is_async(function: StepFunction) -> bool:
    """Say whether a step's function runs on the event loop rather than in a thread."""
    return iscoroutinefunction(function)
