"""Carries the planner's decisions out on a locked saga: in memory, through transitions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sagas.definitions import Element
from sagas.engine import family, upgrades
from sagas.engine.attempts import Attempt, Held
from sagas.engine.beginnings import begin, key_is_spent
from sagas.engine.border import Border
from sagas.engine.facts import FactKind, fulfil, open_fact, wish_of
from sagas.engine.locked import Locked
from sagas.engine.planner import (
    Begin,
    Decision,
    Finish,
    Halt,
    Suspend,
    TurnBack,
    Wait,
    Wish,
    has_passed_pivot,
    plan,
)
from sagas.models import HistoryKind, SagaStep
from sagas.states import (
    AT_WORK,
    NOTICES,
    Attention,
    Direction,
    SagaStatus,
    StepKind,
    StepStatus,
    WaitsFor,
)

_TO_BEGIN = frozenset({StepStatus.PENDING, StepStatus.WAITING})

FRESH = (2, 3)
"""A lease with two thirds of it left is not extended at a step border; the heartbeat does that in time."""


def drifted(locked: Locked) -> list[str]:
    """Return the steps that the saga has and the code does not, or that it is undoing and the code cannot.

    A step of this name and of another kind is another step.
    """
    declared = locked.definition.outline().steps
    return [
        name
        for name, step in locked.steps.items()
        if name not in declared
        or step.kind != declared[name].kind
        or (not declared[name].is_undoable and step.status == StepStatus.COMPENSATING)
    ]


def advance(locked: Locked, held: Held, border: Border) -> list[Attempt]:
    """Move the saga as far as it goes without a call; return the attempts marked as sent.

    With attempts in flight the saga stays held until the border's lease ends; otherwise it is let go, due
    when its next attempt is.
    """
    attempts: list[Attempt] = []
    upgrades.upgrade(locked)
    _hear(locked, held)
    while True:
        retire_expired_keys(locked)
        decision = _decide(locked)
        if locked.saga.status == SagaStatus.PENDING and isinstance(decision, (Halt, Finish)):
            locked.move(locked.saga.begin)
        match decision:
            case TurnBack():
                turn_back(locked)
            case Begin(names, direction):
                begun, moved = begin(locked, held, names, direction, border) if border.begin else ([], False)
                attempts += begun
                if len(begun) == len(names) or not moved:
                    _hold_or_let_go(locked, due_at=locked.now, border=border)
                    return attempts
            case Wait(until):
                # Without an end nobody would look again: the lease bounds even a planner's mistake.
                due_at = _earliest(until or locked.now + border.lease, locked)
                _hold_or_let_go(locked, due_at=due_at, border=border)
                return attempts
            case _:
                _stop(locked, decision, border)
                return attempts


def _earliest(until: datetime, locked: Locked) -> datetime:
    """Return when to look again: at the deadline too, where it still means something."""
    deadline = locked.saga.deadline_at
    if deadline is None or locked.direction is Direction.BACK or deadline <= locked.now:
        return until
    return min(until, deadline)


def _hear(locked: Locked, held: Held) -> None:
    """Take note of what was told: of children that ended, of events and decisions that have come."""
    outline = locked.definition.outline()
    if outline.is_plain:
        return
    told = {fact.data.get("step") for fact in locked.facts if not fact.applied_at}
    for name, step in locked.steps.items():
        element = outline.steps.get(name)
        if element is None or element.kind is StepKind.STEP:
            continue
        has_come = name in told or (step.due_at is not None and step.due_at <= locked.now)
        if family.is_family(element):
            waits = step.status == StepStatus.COMPENSATING or step.waits_for == WaitsFor.CHILD
            if waits and has_come:
                family.look_after(locked, locked.step(name), element, held)  # type: ignore[arg-type]
        elif step.status == StepStatus.WAITING and has_come:
            locked.step(name).due_at = locked.now
    if locked.direction is Direction.BACK:
        hear_late_events(locked)


def hear_late_events(locked: Locked) -> bool:
    """Say whether an event has come that was to decide the saga, and whose time was up: a person has to know.

    Others whose time was up are forgotten.
    """
    outline = locked.outline
    late = [
        name
        for name, step in locked.steps.items()
        if step.kind == StepKind.EVENT
        and step.status == StepStatus.FAILED
        and open_fact(locked, FactKind.EVENT, name)
        and name in outline.steps
        and outline.steps[name].pivot
    ]
    for name in late:
        locked.saga.attention = Attention.LATE_EVENT
        locked.saga.note_error(
            "LateEvent", f"The event that {name} waited for came after its time was up.", step=name
        )
    fulfil(locked, FactKind.EVENT)
    return bool(late)


def turn_back(locked: Locked, *, act: dict[str, Any] | None = None) -> None:
    """Stop going forward: end the attempts that wait for their turn, and go back from here."""
    for name, step in locked.steps.items():
        if step.waits_for == WaitsFor.CHILD:
            family.call_back(locked, step)
        # A pending step may have happened too: when a person wanted it tried again.
        elif step.status == StepStatus.WAITING or (step.status == StepStatus.PENDING and step.in_doubt):
            _close(locked.step(name), locked.outline.steps[name], locked.now)
    fulfil(locked, FactKind.TURN_BACK)
    locked.move(locked.saga.turn_back, act=act)


def retire_expired_keys(locked: Locked) -> None:
    """Give up the steps whose next attempt is due when their participant may have forgotten the key.

    That can be found out only now: a worker may have come late, or the saga been suspended meanwhile.
    """
    for name, step in locked.steps.items():
        # Most were never sent a key of, or are done with.
        if (step.started_at or step.undo_started_at) is None or not _may_begin(locked, step):
            continue
        declared = locked.outline.steps.get(name)
        if declared is None or not key_is_spent(declared, step, locked.now):
            continue
        if step.direction is Direction.FORWARD:
            locked.step(name).doubt(now=locked.now)
            locked.saga.attention = Attention.UNKNOWN_OUTCOME
        else:
            locked.step(name).undo_failed(now=locked.now)


def _may_begin(locked: Locked, step: SagaStep) -> bool:
    """Say whether an attempt at the step, in its own direction, is due."""
    if step.status in _TO_BEGIN:
        waits = locked.direction is Direction.FORWARD
    else:
        waits = step.status == StepStatus.COMPENSATING and not step.in_flight
    return waits and (step.due_at is None or step.due_at <= locked.now)


def _close(step: SagaStep, declared: Element, now: datetime) -> None:
    if step.in_doubt and not declared.read_only:
        step.doubt(now=now)
    else:
        step.fail(now=now)


def _decide(locked: Locked) -> Decision:
    if gone := drifted(locked):
        locked.saga.note_error(
            "DefinitionDrift",
            f"{locked.saga} has the steps {', '.join(gone)}, which version {locked.definition.version} "
            f"of {locked.saga.definition} no longer has, or no longer undoes. Deploy code that does.",
            step=gone[0],
        )
        in_flight = any(step.in_flight for step in locked.steps.values())
        return Wait() if in_flight else Halt(Attention.DEFINITION_DRIFT)
    return plan(
        locked.outline,
        locked.steps,
        locked.direction,
        locked.now,
        wish=_wish(locked),
        halting=halting(locked),
    )


def _wish(locked: Locked) -> Wish:
    wish = wish_of(locked)
    saga = locked.saga
    if saga.deadline_at is None and locked.definition.deadline and saga.status == SagaStatus.PENDING:
        saga.deadline_at = saga.created_at + locked.definition.deadline
    if saga.deadline_at is None or locked.now < saga.deadline_at or locked.direction is Direction.BACK:
        return wish
    if not has_passed_pivot(locked.outline, locked.steps):
        if not wish.turn_back:
            saga.note_error(
                "DeadlinePassed", f"It had to be done by {saga.deadline_at:%Y-%m-%d %H:%M:%S}.", step=""
            )
        return Wish(turn_back=True, suspend=wish.suspend)
    if not saga.attention:
        saga.attention = Attention.DEADLINE
        locked.record(kind=HistoryKind.STATUS, data={"attention": Attention.DEADLINE.value})
    return wish


def halting(locked: Locked) -> Attention | None:
    """Return why a step that was settled earlier wants the saga halted."""
    attention = locked.saga.attention
    return Attention(attention) if attention and attention not in NOTICES else None


def _hold_or_let_go(locked: Locked, *, due_at: datetime, border: Border) -> None:
    saga = locked.saga
    if any(step.in_flight for step in locked.steps.values()):
        # A lease that is fresh enough is left alone: moving an indexed column would touch every index.
        left, of = FRESH
        if saga.due_at is None or (saga.due_at - locked.now) * of < border.lease * left:
            saga.due_at = locked.now + border.lease
    else:
        saga.held_by = None
        saga.due_at = due_at


def _stop(locked: Locked, decision: Decision, border: Border) -> None:
    saga = locked.saga
    match decision:
        case Halt(attention):
            fulfil(locked, FactKind.SUSPEND)  # It stops either way.
            locked.move(saga.halt, attention, act={"kind": "status", "data": {"attention": attention.value}})
        case Suspend():
            fulfil(locked, FactKind.SUSPEND)
            locked.move(saga.suspend)
        case Finish() if locked.direction is Direction.FORWARD:
            locked.move(saga.complete, now=locked.now)
        case Finish():
            locked.move(saga.undone, now=locked.now)
    if saga.status not in AT_WORK and saga.ended_at is not None:
        border.admission.end(locked)
        family.tell_parent(locked)
