"""What a saga would do next if every call were done: the planner, run ahead in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from inspect import getdoc

from sagas.definitions import Element
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
    attempt: int
    """Which attempt at it this would be, counted from 1."""
    limit: int | None
    """After how many attempts in all it would be given up; None where only time ends it."""
    what: str
    """What it does, as its author wrote in the first line of its docstring."""


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
    step, element = locked.steps[name], locked.outline.steps[name]
    most = element.policy(direction).attempts
    planned = Planned(
        name,
        direction,
        step.idempotency_key if direction is Direction.FORWARD else step.undo_key,
        attempt=step.attempt_number(direction) + 1,
        limit=None if most is None else step.round_base + step.crash_count(direction) + most,
        what=_said_of(element, direction),
    )
    if direction is Direction.FORWARD:
        step.begin(now=locked.now)
        step.complete(now=locked.now)
    else:
        step.undo(now=locked.now)
        step.undone(now=locked.now)
    return planned


def _said_of(element: Element, direction: Direction) -> str:
    """Return the first line of what the author says of the function that would be called."""
    try:
        said = getdoc(element.function(direction)) or ""
    except LookupError:  # It waits, and calls nothing.
        return str(element.kind.label)
    return said.partition("\n")[0]


def _let_come(locked: Locked, name: str) -> None:
    """Have what a step waits for, or its attempt in flight, come to a good end."""
    step = locked.steps[name]
    if step.status == StepStatus.RUNNING:
        step.complete(now=locked.now)
    elif step.in_flight:
        step.undone(now=locked.now)
    else:
        step.due_at = locked.now


def kept(locked: Locked) -> list[str]:
    """Return the steps that are done and stay so, of a saga that goes forward."""
    if locked.direction is Direction.BACK:
        return []
    return [name for name, step in locked.steps.items() if step.status == StepStatus.COMPLETED]


def left_behind(locked: Locked) -> list[Unundoable]:
    """Return what a saga that turned back now would leave as it is."""
    found = []
    for name, step in locked.steps.items():
        element = locked.outline.steps.get(name)
        if element is None or needs_undo(element, step) or element.read_only:
            continue
        if step.direction is Direction.BACK:
            continue  # It was undone, or is being undone.
        if step.status in (StepStatus.COMPLETED, StepStatus.UNKNOWN) or step.in_doubt:
            found.append(Unundoable(name, getattr(element, "irrevocable", "") or "it has no compensation"))
    return found
