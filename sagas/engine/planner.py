"""What a saga does next: statuses in, decision out.

Pure, so that every path is a row in a table and the console can ask the same question as the worker. Stages
go forward in order and are undone in reverse; the steps of one stage run, and are undone, side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from sagas.definitions import Outline, Step
from sagas.states import Attention, Direction, StepStatus

T = StepStatus


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
    """Make an attempt at these steps, in the saga's direction."""

    steps: tuple[str, ...]


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


def needs_undo(step: Step, state: StepState) -> bool:
    """Say whether the way back leads through this step."""
    return step.compensation is not None and state.status in (T.COMPLETED, T.UNKNOWN, T.COMPENSATING)


def _forward(outline: Outline, states: States, now: datetime) -> Decision:
    for number, stage in enumerate(outline.stages):
        stage_states = [states[step.name] for step in stage]
        if all(state.status in (T.COMPLETED, T.SKIPPED) for state in stage_states):
            continue
        if any(state.status in (T.FAILED, T.UNKNOWN) for state in stage_states):
            if any(state.in_flight for state in stage_states):
                return Wait()
            return _after_failure(outline, number, states)
        ready = tuple(
            step.name
            for step in stage
            if (state := states[step.name]).status == T.PENDING
            or (state.status == T.WAITING and _is_due(state, now))
        )
        return Begin(ready) if ready else _wait(stage_states)
    return Finish()


def _after_failure(outline: Outline, stage: int, states: States) -> Decision:
    if outline.pivot_stage is not None and stage > outline.pivot_stage:
        return Halt(Attention.PAST_PIVOT)
    if stage == outline.pivot_stage and any(
        states[step.name].status == T.UNKNOWN for step in outline.stages[stage]
    ):
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
        to_undo = [step.name for step in stage if needs_undo(step, states[step.name])]
        if not to_undo:
            continue
        ready = tuple(name for name in to_undo if not states[name].in_flight and _is_due(states[name], now))
        return Begin(ready) if ready else _wait(states[name] for name in to_undo)
    return Finish()


def _is_due(state: StepState, now: datetime) -> bool:
    return state.due_at is None or state.due_at <= now


def _wait(states: Iterable[StepState]) -> Wait:
    dues = [state.due_at for state in states if not state.in_flight and state.due_at is not None]
    return Wait(min(dues, default=None))
