"""Carries the planner's decisions out on a locked saga: in memory, through transitions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol

from sagas.definitions import Step
from sagas.engine.attempts import Attempt, Held
from sagas.engine.facts import FactKind, fulfil, wish_of
from sagas.engine.locked import Locked
from sagas.engine.planner import Begin, Decision, Finish, Halt, Suspend, TurnBack, Wait, plan
from sagas.engine.verdicts import key_expired
from sagas.models import SagaStep
from sagas.states import Attention, Direction, SagaStatus, StepStatus


class SlotSource(Protocol):
    """Where room for attempts comes from."""

    def reserve(self, step: Step, direction: Direction) -> bool: ...


def drifted(locked: Locked) -> list[str]:
    """Return the steps that the saga has and the code does not, or that it is undoing and the code cannot."""
    declared = locked.definition.outline().steps
    return [
        name
        for name, step in locked.steps.items()
        if name not in declared
        or (step.status == StepStatus.COMPENSATING and declared[name].compensation is None)
    ]


def advance(
    locked: Locked, held: Held, slots: SlotSource, *, lease: timedelta, begin: bool = True
) -> list[Attempt]:
    """Move the saga as far as it goes without a call; return the attempts marked as sent.

    With attempts in flight the saga stays held until `lease` from now; otherwise it is let go, due when its
    next attempt is. Without `begin` no attempt is started: what could run now is left due for another
    worker.
    """
    while True:
        _retire_expired_keys(locked)
        decision = _decide(locked)
        if locked.saga.status == SagaStatus.PENDING and not isinstance(decision, (TurnBack, Suspend)):
            locked.move(locked.saga.begin)
        match decision:
            case TurnBack():
                turn_back(locked)
            case Begin(names):
                attempts = _begin(locked, held, names, slots) if begin else []
                _hold_or_let_go(locked, due_at=locked.now, lease=lease)
                return attempts
            case Wait(until):
                # Without an end nobody would look again: the lease bounds even a planner's mistake.
                _hold_or_let_go(locked, due_at=until or locked.now + lease, lease=lease)
                return []
            case _:
                _stop(locked, decision)
                return []


def turn_back(locked: Locked, *, act: dict[str, Any] | None = None) -> None:
    """Stop going forward: end the attempts that wait for their turn, and go back from here."""
    for name, step in locked.steps.items():
        # A pending step may have happened too: when a person wanted it tried again.
        if step.status == StepStatus.WAITING or (step.status == StepStatus.PENDING and step.in_doubt):
            _close(locked.step(name), locked.outline.steps[name], locked.now)
    fulfil(locked, FactKind.TURN_BACK)
    locked.move(locked.saga.turn_back, act=act)


def _retire_expired_keys(locked: Locked) -> None:
    """Give up the steps whose next attempt is due when their participant may have forgotten the key.

    That can be found out only now: a worker may have come late, or the saga been suspended meanwhile.
    """
    direction = locked.direction
    for name, step in locked.steps.items():
        declared = locked.outline.steps.get(name)
        sent_at = step.first_sent_at(direction)
        if declared is None or sent_at is None or not _may_begin(step, direction, locked.now):
            continue
        if not key_expired(declared, direction, in_doubt=step.in_doubt, since_sent=locked.now - sent_at):
            continue
        if direction is Direction.FORWARD:
            locked.step(name).doubt(now=locked.now)
            locked.saga.attention = Attention.UNKNOWN_OUTCOME
        else:
            locked.step(name).undo_failed(now=locked.now)


def _may_begin(step: SagaStep, direction: Direction, now: datetime) -> bool:
    if direction is Direction.FORWARD:
        waits = step.status in (StepStatus.PENDING, StepStatus.WAITING)
    else:
        waits = step.status == StepStatus.COMPENSATING and not step.in_flight
    return waits and (step.due_at is None or step.due_at <= now)


def _close(step: SagaStep, declared: Step, now: datetime) -> None:
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
        wish=wish_of(locked),
        halting=_halting(locked),
    )


def _halting(locked: Locked) -> Attention | None:
    attention = locked.saga.attention
    return Attention(attention) if attention and attention != Attention.LATE_EFFECT else None


def _begin(locked: Locked, held: Held, names: tuple[str, ...], slots: SlotSource) -> list[Attempt]:
    attempts = []
    for name in names:
        declared = locked.outline.steps[name]
        if not slots.reserve(declared, locked.direction):
            continue
        step = locked.step(name)
        if locked.direction is Direction.FORWARD:
            step.begin(now=locked.now)
            attempts.append(Attempt(held, declared, Direction.FORWARD, step.attempts, step.idempotency_key))
        else:
            step.undo(now=locked.now)
            attempts.append(
                Attempt(
                    held,
                    declared,
                    Direction.BACK,
                    step.undo_attempts,
                    step.undo_key,
                    undoes=step.idempotency_key,
                    result=held.results.get(name),
                )
            )
    return attempts


def _hold_or_let_go(locked: Locked, *, due_at: datetime, lease: timedelta) -> None:
    saga = locked.saga
    if any(step.in_flight for step in locked.steps.values()):
        saga.due_at = locked.now + lease
    else:
        saga.held_by = None
        saga.due_at = due_at


def _stop(locked: Locked, decision: Decision) -> None:
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
