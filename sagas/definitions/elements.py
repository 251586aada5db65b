"""What a definition's list of steps is made of: what all elements share, `Step` and `Parallel`."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from functools import cached_property
from inspect import iscoroutinefunction
from typing import Any, ClassVar, Final, TypeAlias

from sagas.definitions.context import StepContext
from sagas.definitions.participant import ALWAYS, NEVER, WIRE_TIME, Participant
from sagas.definitions.policies import PERSISTENT, STANDARD, RetryPolicy
from sagas.states import Call, Direction, StepKind

Result: TypeAlias = Mapping[str, Any] | None
StepFunction: TypeAlias = Callable[[StepContext], Result] | Callable[[StepContext], Awaitable[Result]]
Condition: TypeAlias = Callable[[StepContext], bool] | Callable[[StepContext], Awaitable[bool]]
AnyFunction: TypeAlias = Callable[..., Any]

CALL_TIME = timedelta(seconds=30)
"""How long a condition, a probe or another helper of an element may take."""


class Exhausted(enum.Enum):
    """What follows when a step's attempts are used up before the pivot."""

    COMPENSATE = "compensate"
    """Turn back."""
    HALT = "halt"
    """Wait for a person."""


COMPENSATE: Final = Exhausted.COMPENSATE
HALT: Final = Exhausted.HALT


class TimedOut(enum.Enum):
    """What follows when what was waited for did not come, or a child saga failed."""

    TURN_BACK = "turn_back"
    """The step has failed: turn back."""
    CONTINUE = "continue"
    """Pass the step by."""


TURN_BACK: Final = TimedOut.TURN_BACK
CONTINUE: Final = TimedOut.CONTINUE


@dataclass(frozen=True)
class Element:
    """What every element of a definition has: a name, and what the engine asks of any of them."""

    kind: ClassVar[StepKind]

    _: KW_ONLY
    when: Condition | None = None
    """Asked once before the element begins; if it says False, the element is skipped."""
    name: str = ""
    """Known by it in the database: keep it when the function is renamed. Empty: made of what it does."""

    pivot: bool = field(default=False, init=False)
    optional: bool = field(default=False, init=False)
    read_only: bool = field(default=True, init=False)
    """Whether its calls change nothing outside this engine."""
    on_exhausted: Exhausted | None = field(default=None, init=False)
    participant: Participant | None = field(default=None, init=False)
    atomic: bool = field(default=False, init=False)
    isolated: bool = field(default=False, init=False)
    probe: StepFunction | None = field(default=None, init=False)

    @property
    def is_undoable(self) -> bool:
        """Whether the way back has something to do here."""
        return False

    def function(self, direction: Direction, call: Call = Call.ACTION) -> AnyFunction:
        """Return what runs. Raise `LookupError` where there is no such function."""
        found = self._function(direction, call)
        if found is None:
            raise LookupError(
                f"Step {self.name!r} has no {call if direction is Direction.FORWARD else 'compensation'}."
            )
        return found

    def _function(self, direction: Direction, call: Call) -> AnyFunction | None:
        return self.when if call is Call.CONDITION else None

    def runs_on_loop(self, direction: Direction, call: Call = Call.ACTION) -> bool:
        """Say whether the call is made on the event loop rather than in a thread."""
        asked = direction, call
        if asked not in self._on_loop:
            self._on_loop[asked] = is_async(self.function(direction, call)) and not self.runs_apart(call)
        return self._on_loop[asked]

    @cached_property
    def _on_loop(self) -> dict[tuple[Direction, Call], bool]:
        """What was found out: it is asked several times for each attempt."""
        return {}

    def runs_apart(self, call: Call) -> bool:
        """Say whether the call is made in a process of its own."""
        return self.isolated and call is Call.ACTION

    def time_limit(self, direction: Direction, call: Call = Call.ACTION) -> timedelta:
        """Return how long one attempt may take."""
        return CALL_TIME

    def policy(self, direction: Direction) -> RetryPolicy:
        """Return how attempts repeat."""
        return STANDARD

    @property
    def max_inflight(self) -> timedelta:
        """How long after it was sent an attempt of unknown outcome may still take effect."""
        return CALL_TIME

    def may_resend(self, elapsed: timedelta) -> bool:
        """Say whether its key may be sent again this long after it was first sent."""
        return True


@dataclass(frozen=True)
class Step(Element):
    """One local transaction of a participant, with the compensation that undoes it.

    A step without `participant` touches this database only.
    """

    kind = StepKind.STEP

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
    probe: StepFunction | None = None
    """Asks the participant whether an attempt of unknown outcome took effect: it returns the action's
    result, None if it provably did not happen, or raises `OutcomeUnknown`."""
    optional: bool = False
    """The saga goes on without it: what may have happened is undone first."""
    atomic: bool = False
    """What its action writes to this database commits once, together with its outcome. It is a ``def``, may
    run several times, and its ``on_commit`` hooks may be lost."""
    isolated: bool = False
    """Its action and its compensation run in a process of their own, killed at the time-out: for code that
    computes for long, crashes, or cannot be interrupted. It starts as slowly as a management command."""
    on_exhausted: Exhausted | None = None
    """None: as the definition says."""
    idempotency_key: str | None = None
    """A template over input, results, ``{order_id}``, ``{reserve.batch}``: saga id and direction follow."""
    shared_key: bool = False
    """The template is the whole key: sagas that render it alike have one effect between them."""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", getattr(self.action, "__name__", ""))
        for option in ("timeout", "undo_timeout"):
            if getattr(self, option) <= timedelta(0):
                raise ValueError(f"Step {self.name!r}: {option} must be longer than nothing.")

    @property
    def is_undoable(self) -> bool:
        """Whether the way back has something to do here."""
        return self.compensation is not None

    def _function(self, direction: Direction, call: Call) -> AnyFunction | None:
        if direction is Direction.BACK:
            return self.compensation
        return {Call.ACTION: self.action, Call.CONDITION: self.when, Call.PROBE: self.probe}[call]

    def time_limit(self, direction: Direction, call: Call = Call.ACTION) -> timedelta:
        """Return how long one attempt may take."""
        if direction is Direction.BACK:
            return self.undo_timeout
        return CALL_TIME if call is Call.CONDITION else self.timeout

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
    """Elements that run side by side and are undone side by side. Siblings of a failed one are awaited."""

    def __init__(self, *elements: Element) -> None:
        self.elements = elements


def is_async(function: AnyFunction) -> bool:
    """Say whether a function is a coroutine function."""
    return iscoroutinefunction(function)
