"""What a saga does next: statuses in, decision out.

Pure, so that every path is a row in a table and the console can ask the same question as the worker. Stages
go forward in order and are undone in reverse; the steps of one stage run, and are undone, side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from sagas.definitions import Element, Outline
from sagas.states import FAMILY, Attention, Direction, StepStatus

T = StepStatus

_PASSED = frozenset({T.COMPLETED, T.SKIPPED})
_IN_TROUBLE = frozenset({T.FAILED, T.UNKNOWN, T.COMPENSATION_FAILED})


class StepState(Protocol):
    """What the planner reads of a step's row."""

    @property
    def status(self) -> str: ...
    @property
    def due_at(self) -> datetime | None: ...
    @property
    def in_doubt(self) -> bool: ...
    @property
    def in_flight(self) -> bool: ...


States: TypeAlias = Mapping[str, StepState]


@dataclass(frozen=True)
class Begin:
    """Make an attempt at these steps, in this direction."""

    steps: tuple[str, ...]
    direction: Direction = Direction.FORWARD


@dataclass(frozen=True)
class Wait:
    """Nothing to begin: attempts are in flight, or the next one is due at `until`."""

    until: datetime | None = None


@dataclass(frozen=True)
class TurnBack:
    """Stop going forward and begin to undo."""


@dataclass(frozen=True)
class Suspend:
    """Stop, as a person asked."""


@dataclass(frozen=True)
class Halt:
    """Go neither way without a person."""

    attention: Attention


@dataclass(frozen=True)
class Finish:
    """Nothing is left to do in the saga's direction."""


Decision: TypeAlias = Begin | Wait | TurnBack | Suspend | Halt | Finish


@dataclass(frozen=True)
class Wish:
    """What was asked of the saga from outside, to be honoured when no attempt is in flight."""

    turn_back: bool = False
    suspend: bool = False


NO_WISH = Wish()


def plan(
    outline: Outline,
    states: States,
    direction: Direction,
    now: datetime,
    *,
    wish: Wish = NO_WISH,
    halting: Attention | None = None,
) -> Decision:
    """Decide what the saga does next.

    `halting` is why a step that was settled earlier wants the saga halted once its siblings are.
    """
    if wish.turn_back or wish.suspend or halting:
        if any(state.in_flight for state in states.values()):
            return Wait()
        if wish.turn_back and direction is Direction.FORWARD:
            return TurnBack()
        if halting:
            return Halt(halting)
        if wish.suspend:
            return Suspend()
    return _forward(outline, states, now) if direction is Direction.FORWARD else _back(outline, states, now)


def has_passed_pivot(outline: Outline, states: States) -> bool:
    """Say whether there is no way back: the pivot is done, or may be."""
    if outline.pivot_stage is None:
        return False
    pivots = [states[step.name] for step in outline.stages[outline.pivot_stage]]
    return any(pivot.status == T.COMPLETED or pivot.in_doubt for pivot in pivots)


def needs_undo(element: Element, state: StepState) -> bool:
    """Say whether the way back leads through this step."""
    return element.is_undoable and state.status in (T.COMPLETED, T.UNKNOWN, T.COMPENSATING)


def is_passed(element: Element, state: StepState) -> bool:
    """Say whether the way forward has this step behind it."""
    return state.status in _PASSED or (element.optional and state.status == T.COMPENSATED)


def _forward(outline: Outline, states: States, now: datetime) -> Decision:
    for number, stage in enumerate(outline.stages):
        ahead = [(each, state) for each in stage if not is_passed(each, state := states[each.name])]
        if not ahead:
            continue
        if any(_has_failed(element, state) for element, state in ahead):
            if any(state.in_flight for _, state in ahead):
                return Wait()
            return _after_failure(outline, number, states)
        dropped = tuple(e.name for e, state in ahead if e.optional and _is_to_be_undone(e, state, now))
        if dropped:
            return Begin(dropped, Direction.BACK)
        ready = tuple(
            element.name
            for element, state in ahead
            if state.status == T.PENDING or (state.status == T.WAITING and _is_due(state, now))
        )
        return Begin(ready) if ready else _wait(state for _, state in ahead)
    return Finish()


def _has_failed(element: Element, state: StepState) -> bool:
    status = state.status
    if status not in _IN_TROUBLE:
        return False
    if status == T.COMPENSATION_FAILED:
        return element.optional
    # An optional one that is in doubt is undone, and the saga goes on without it.
    return status == T.FAILED or not (element.optional and element.is_undoable)


def _is_to_be_undone(element: Element, state: StepState, now: datetime) -> bool:
    begun = state.status in (T.UNKNOWN, T.COMPENSATING)
    return begun and not state.in_flight and element.is_undoable and _is_due(state, now)


def _after_failure(outline: Outline, stage: int, states: States) -> Decision:
    statuses = {states[element.name].status for element in outline.stages[stage]}
    if T.COMPENSATION_FAILED in statuses and statuses.isdisjoint({T.FAILED, T.UNKNOWN}):
        return Halt(Attention.COMPENSATION_FAILED)
    if outline.pivot_stage is not None and stage > outline.pivot_stage:
        return Halt(Attention.PAST_PIVOT)
    if stage == outline.pivot_stage and T.UNKNOWN in statuses:
        return Halt(Attention.UNKNOWN_OUTCOME)
    return TurnBack()


def _back(outline: Outline, states: States, now: datetime) -> Decision:
    if any(state.status == T.RUNNING for state in states.values()):
        return Wait()
    for stage in reversed(outline.stages):
        stage_states = [states[step.name] for step in stage]
        if any(state.status == T.COMPENSATION_FAILED for state in stage_states):
            if any(state.in_flight for state in stage_states):
                return Wait()
            return Halt(Attention.COMPENSATION_FAILED)
        # Children that were told to stop are waited for until they have.
        winding_down = [
            states[element.name]
            for element in stage
            if element.kind in FAMILY and states[element.name].status == T.WAITING
        ]
        to_undo = [step.name for step in stage if needs_undo(step, states[step.name])]
        if not (to_undo or winding_down):
            continue
        ready = tuple(name for name in to_undo if not states[name].in_flight and _is_due(states[name], now))
        if ready:
            return Begin(ready, Direction.BACK)
        return _wait([*winding_down, *(states[name] for name in to_undo)])
    return Finish()


def _is_due(state: StepState, now: datetime) -> bool:
    return state.due_at is None or state.due_at <= now


def _wait(states: Iterable[StepState]) -> Wait:
    dues = [state.due_at for state in states if not state.in_flight and state.due_at is not None]
    return Wait(min(dues, default=None))
