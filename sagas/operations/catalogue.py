"""Every operation on a saga: who may, when, and what it does.

Buttons, routes, commands and the permission matrix come from `OPERATIONS`. What is asked of a saga at rest
is done at once; what is asked of one that a worker holds is left as a fact, which the worker acts on at the
next step border.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.definitions import registry
from sagas.engine.facts import FactKind
from sagas.engine.locked import Locked
from sagas.engine.planner import has_passed_pivot
from sagas.engine.steering import drifted, turn_back
from sagas.engine.verdicts import key_expired
from sagas.models import SagaFact, SagaStep
from sagas.states import AT_WORK, Direction, SagaStatus, StepStatus

Act: TypeAlias = dict[str, Any]
"""The history's fields that say who acted and why."""


@dataclass(frozen=True)
class Refusal:
    """Why an operation cannot be done: a stable code, and why and what to do in words."""

    code: str
    why: str


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked of a saga."""

    name: str
    label: str | Promise
    permission: str
    refusal: Callable[[Locked], Refusal | None]
    """Why it cannot be done now; None if it can."""
    act: Callable[[Locked, Act], None]
    """Do it, or leave it as a fact, on a saga that is locked."""


def _code_refusal(locked: Locked) -> Refusal | None:
    """Refuse what needs the definition where the code does not have it, or not all of the saga's steps."""
    name = locked.saga.definition
    if name not in registry:
        return Refusal(
            "unknown_definition", f"no installed app has the definition {name}. Deploy code that has it."
        )
    if drifted(locked):
        return Refusal(
            "definition_drift", f"it has steps that {name} no longer has. Deploy code that has them."
        )
    return None


def _retry_refusal(locked: Locked) -> Refusal | None:
    saga = locked.saga
    if saga.status == SagaStatus.FAILED or _waits_for_retry(locked):
        return _code_refusal(locked) or next(
            (refusal for step in _to_retry(locked) if (refusal := _key_refusal(locked, step))), None
        )
    if saga.status == SagaStatus.SUSPENDED:
        return Refusal("invalid_state", "it is suspended. Resume it: then its steps go on.")
    if saga.is_live:
        return Refusal(
            "invalid_state", f"it is {saga.status} and no step of it failed or waits for its next attempt."
        )
    return Refusal("invalid_state", f"it has ended as {saga.status}. Start a new saga instead.")


def _retry(locked: Locked, act: Act) -> None:
    for step in _to_retry(locked):
        changed = locked.step(step.name)
        if step.status in (StepStatus.FAILED, StepStatus.UNKNOWN, StepStatus.COMPENSATION_FAILED):
            changed.again(now=locked.now)
        else:
            changed.due_at = locked.now
    if locked.saga.status == SagaStatus.FAILED:
        locked.move(locked.saga.resume, act=act)
    else:
        locked.record(**act)
    locked.saga.due_at = locked.now


def _resume_refusal(locked: Locked) -> Refusal | None:
    saga = locked.saga
    if saga.status == SagaStatus.SUSPENDED or is_stuck(locked):
        return None
    if saga.status == SagaStatus.FAILED:
        return Refusal(
            "invalid_state", "it is failed, not suspended. Retry it, or turn it back with compensate."
        )
    return Refusal("invalid_state", f"it is {saga.status}, neither suspended nor stuck.")


def _resume(locked: Locked, act: Act) -> None:
    if locked.saga.status == SagaStatus.SUSPENDED:
        locked.move(locked.saga.resume, act=act)
        locked.saga.due_at = locked.now
    else:
        locked.record(**act)  # It is due already: the wake-up that follows is what it lacked.


def _suspend_refusal(locked: Locked) -> Refusal | None:
    if locked.saga.status in (SagaStatus.PENDING, SagaStatus.RUNNING, SagaStatus.COMPENSATING):
        return None
    return Refusal("invalid_state", f"it is {locked.saga.status}, so nothing of it runs.")


def _suspend(locked: Locked, act: Act) -> None:
    if locked.saga.held_by is None:
        locked.move(locked.saga.suspend, act=act)
    else:
        _leave_fact(locked, FactKind.SUSPEND, act)


def _compensate_refusal(locked: Locked) -> Refusal | None:
    saga = locked.saga
    if not saga.is_live:
        return Refusal("invalid_state", f"it has ended as {saga.status}.")
    if saga.direction == Direction.BACK:
        advice = (
            "Retry the compensation that failed." if saga.status == SagaStatus.FAILED else "Let it go on."
        )
        return Refusal("invalid_state", f"it goes back already. {advice}")
    if refusal := _code_refusal(locked):
        return refusal
    if has_passed_pivot(locked.outline, locked.steps):
        return Refusal(
            "past_pivot",
            "it has passed its pivot, or may have, and can only go forward. Retry it until it completes, "
            "then start the saga that reverses it.",
        )
    return None


def _compensate(locked: Locked, act: Act) -> None:
    if locked.saga.held_by is None:
        turn_back(locked, act=act)
        locked.saga.due_at = locked.now
    else:
        _leave_fact(locked, FactKind.TURN_BACK, act)


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("retry", _("Retry"), "sagas.retry_saga", _retry_refusal, _retry),
        Operation("resume", _("Resume"), "sagas.resume_saga", _resume_refusal, _resume),
        Operation("suspend", _("Suspend"), "sagas.resume_saga", _suspend_refusal, _suspend),
        Operation("compensate", _("Compensate"), "sagas.compensate_saga", _compensate_refusal, _compensate),
    )
}

STUCK_AFTER = timedelta(seconds=10)
"""Overdue by more than this is stuck: something should have moved it by now."""


def is_stuck(locked: Locked) -> bool:
    """Say whether the saga is due and nobody moves it."""
    saga = locked.saga
    return saga.is_live and saga.due_at is not None and saga.due_at < locked.now - STUCK_AFTER


def _waits_for_retry(locked: Locked) -> bool:
    return locked.saga.status in AT_WORK and locked.saga.held_by is None and bool(_to_retry(locked))


def _to_retry(locked: Locked) -> list[SagaStep]:
    """Return the steps that failed in the saga's direction, or wait for their next attempt in it."""
    forward = locked.direction is Direction.FORWARD
    wanted = (
        {StepStatus.FAILED, StepStatus.UNKNOWN, StepStatus.WAITING}
        if forward
        else {StepStatus.COMPENSATION_FAILED}
    )
    return [
        step
        for step in locked.steps.values()
        if step.status in wanted or (step.status == StepStatus.COMPENSATING and step.due_at is not None)
    ]


def _key_refusal(locked: Locked, step: SagaStep) -> Refusal | None:
    """Refuse to send a key again that its participant may have forgotten: it would be a new request."""
    declared = registry.named(locked.saga.definition).outline().steps.get(step.name)
    sent = step.first_sent_at(locked.direction)
    if declared is None or sent is None:
        return None
    if not key_expired(declared, locked.direction, in_doubt=step.in_doubt, since_sent=locked.now - sent):
        return None
    assert declared.participant is not None
    return Refusal(
        "key_expired",
        f"step {step.name} may have taken effect, and {declared.participant.name} may no longer know its "
        "idempotency key, so that sending it again could double the effect. Find out what happened first.",
    )


def _leave_fact(locked: Locked, kind: FactKind, act: Act) -> None:
    """Leave the wish for whoever holds the saga. Wishing twice is wishing once."""
    locked.record(**act)
    SagaFact.objects.get_or_create(
        saga=locked.saga,
        kind=kind,
        source=f"revision {locked.saga.revision}",
        defaults={"by": act["actor"]},
    )
