"""Elements that wait: for an event, for a person, for a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sagas.definitions.context import StepContext
from sagas.definitions.elements import TURN_BACK, AnyFunction, Element, TimedOut
from sagas.definitions.events import Event
from sagas.states import Call, Direction, StepKind

Accept: TypeAlias = Callable[[StepContext, Event], Mapping[str, Any] | None]
Until: TypeAlias = Callable[[StepContext], datetime]


@dataclass(frozen=True)
class WaitForEvent(Element):
    """Wait until an event of this topic comes whose key is what `correlate` renders to.

    Its data is the element's result. An event that came before the wait began is kept and taken then.
    """

    kind = StepKind.EVENT

    topic: str
    _: KW_ONLY
    timeout: timedelta
    """How long to wait."""
    correlate: str = "{key}"
    """A template over input, results and the saga's ``{key}``, rendered when the wait begins."""
    accept: Accept | None = None
    """Looks at the event: returns the result, or raises `PermanentFailure`."""
    on_timeout: TimedOut = TURN_BACK
    pivot: bool = False
    """Once the event has come there is no way back."""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", "wait_for_" + self.topic.replace(".", "_"))
        _check_wait(self, self.timeout)

    def _function(self, direction: Direction, call: Call) -> AnyFunction | None:
        return self.when if call is Call.CONDITION else self.accept


@dataclass(frozen=True)
class Approval(Element):
    """Wait until somebody with this permission approves; if they reject, turn back."""

    kind = StepKind.APPROVAL

    permission: str
    _: KW_ONLY
    timeout: timedelta
    """How long to wait."""
    on_timeout: TimedOut = TURN_BACK
    not_by_initiator: bool = True
    """Whoever started the saga may not approve it."""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", "approve_" + self.permission.rpartition(".")[2])
        _check_wait(self, self.timeout)


@dataclass(frozen=True)
class Sleep(Element):
    """Wait for a length of time, or until the time that a function of the context returns."""

    kind = StepKind.SLEEP

    duration: timedelta | None = None
    _: KW_ONLY
    until: Until | None = None

    def __post_init__(self) -> None:
        if (self.duration is None) == (self.until is None):
            raise ValueError(f"Sleep {self.name!r} needs a duration or until=, and not both.")
        if self.duration is not None:
            _check_wait(self, self.duration)

    def _function(self, direction: Direction, call: Call) -> AnyFunction | None:
        return self.when if call is Call.CONDITION else self.until


def _check_wait(element: Element, length: timedelta) -> None:
    if length <= timedelta(0):
        raise ValueError(f"{type(element).__name__} {element.name!r} must wait for longer than nothing.")
