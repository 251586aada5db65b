"""What a saga would do next if every call were done: the planner, run ahead in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sagas.engine.locked import Locked
from sagas.engine.planner import Begin, TurnBack, Wait, needs_undo, plan
from sagas.engine.steering import turn_back
from sagas.states import Direction, SagaStatus, StepStatus

MOST_ROUNDS = 1000


@dataclass(frozen=True)
class Planned:
    """A call that would be made: of which step, which way, and under which idempotency key."""

    step: str
    direction: Direction
    idempotency_key: str
    """Empty where it is made of results that are not there yet."""


@dataclass(frozen=True)
class Unundoable:
    """A step that has happened, or may have, and that the way back passes by; and why."""

    step: str
    why: str


def forecast(locked: Locked) -> list[Planned]:
    """Return the calls that follow, in order, should each be done at once. The saga in memory is used up."""
    return list(_calls(locked)) if locked.saga.is_live and locked.saga.status not in _STANDING else []


_STANDING = (SagaStatus.FAILED, SagaStatus.SUSPENDED)


def _calls(locked: Locked) -> Iterator[Planned]:
    for _ in range(MOST_ROUNDS):
        match plan(locked.outline, locked.steps, locked.direction, locked.now):
            case Begin(names, direction):
                for name in names:
                    yield _done(locked, name, direction)
            case TurnBack():
                turn_back(locked)
            case Wait():
                waiting = [
                    step for step in locked.steps.values() if step.in_flight or step.due_at is not None
                ]
                if not waiting:
                    return
                for step in waiting:
                    _let_come(locked, step.name)
            case _:
                return


def _done(locked: Locked, name: str, direction: Direction) -> Planned:
    step = locked.steps[name]
    if direction is Direction.FORWARD:
        step.begin(now=locked.now)
        step.complete(now=locked.now)
        return Planned(name, direction, step.idempotency_key)
    step.undo(now=locked.now)
    step.undone(now=locked.now)
    return Planned(name, direction, step.undo_key)


def _let_come(locked: Locked, name: str) -> None:
    """Have what a step waits for, or its attempt in flight, come to a good end."""
    step = locked.steps[name]
    if step.status == StepStatus.RUNNING:
        step.complete(now=locked.now)
    elif step.in_flight:
        step.undone(now=locked.now)
    else:
        step.due_at = locked.now


def left_behind(locked: Locked) -> list[Unundoable]:
    """Return what a saga that turned back now would leave as it is."""
    found = []
    for name, step in locked.steps.items():
        element = locked.outline.steps.get(name)
        if element is None or needs_undo(element, step) or element.read_only:
            continue
        if step.status in (StepStatus.COMPLETED, StepStatus.UNKNOWN) or step.in_doubt:
            found.append(Unundoable(name, getattr(element, "irrevocable", "") or "it has no compensation"))
    return found
