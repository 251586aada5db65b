"""Begins steps: marks their calls as sent, or has them wait for what they need first."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sagas.definitions import Element, Step
from sagas.engine import family
from sagas.engine.admission import Blocked
from sagas.engine.attempts import Attempt, Held
from sagas.engine.border import Border
from sagas.engine.locked import Locked
from sagas.engine.verdicts import key_expired
from sagas.engine.waiting import wait
from sagas.keys import rendered_step_key
from sagas.models import SagaStep
from sagas.states import ADMISSION, Call, Direction, SagaStatus, StepKind, WaitsFor

_WAITING_KINDS = frozenset({StepKind.EVENT, StepKind.APPROVAL, StepKind.SLEEP})

RETRY_ADMISSION = timedelta(seconds=1)
"""A compensation that has to wait for room looks again after this."""


def begin(
    locked: Locked, held: Held, names: tuple[str, ...], direction: Direction, border: Border
) -> tuple[list[Attempt], bool]:
    """Begin these steps; return the calls to be made, and whether anything has come of it."""
    if locked.saga.status == SagaStatus.PENDING:
        waited = any(locked.steps[name].waits_for in ADMISSION for name in names)
        if blocked := border.admission.saga(locked, waited=waited):
            for name in names:
                _make_wait(locked, name, blocked, direction)
            return [], True
        if not any(border.slots.has_room(locked.outline.steps[name], direction) for name in names):
            return [], False
        locked.move(locked.saga.begin)
    attempts, moved = [], False
    for name in names:
        step = locked.steps[name]
        before = step.status, step.due_at
        attempt = _begin_one(locked, held, name, direction, border)
        if attempt is not None:
            attempts.append(attempt)
        moved = moved or attempt is not None or before != (step.status, step.due_at)
    return attempts, moved


def _begin_one(locked: Locked, held: Held, name: str, direction: Direction, border: Border) -> Attempt | None:
    element, step = locked.outline.steps[name], locked.steps[name]
    if direction is Direction.BACK:
        return _begin_undo(locked, held, element, border)
    if element.when is not None and step.applies is None:
        return _send(locked, held, element, Call.CONDITION, border)
    if is_to_be_probed(element, step):
        return _send(locked, held, element, Call.PROBE, border)
    event = None
    if element.kind in _WAITING_KINDS and not _needs_call_first(element, step):
        event = wait(locked, element, locked.step(name), held)
        if event is None:
            return None
    if blocked := border.admission.step(locked, element, direction, waited=step.waits_for in ADMISSION):
        _make_wait(locked, name, blocked, direction)
        return None
    attempt = _send(locked, held, element, Call.ACTION, border)
    if attempt is not None and event is not None:
        attempt = replace(attempt, event=event)
    return attempt


def _needs_call_first(element: Element, step: SagaStep) -> bool:
    """Say whether a sleep's end is yet to be computed."""
    return (
        element.kind is StepKind.SLEEP
        and getattr(element, "duration", None) is None
        and step.waits_for != WaitsFor.TIMER
    )


def _send(locked: Locked, held: Held, element: Element, call: Call, border: Border) -> Attempt | None:
    if not border.slots.reserve(element, Direction.FORWARD, call):
        return None
    step = locked.step(element.name)
    step.begin(now=locked.now, call=call)
    if not step.idempotency_key:
        _make_keys(locked, held, element, step)
    if step.given_input is not None:
        step.given_input, locked.writes_border_fields = None, True
    return Attempt(held, element, Direction.FORWARD, step.attempts, step.idempotency_key, call=call)


def _begin_undo(locked: Locked, held: Held, element: Element, border: Border) -> Attempt | None:
    step = locked.step(element.name)
    if family.is_family(element):
        step.undo(now=locked.now)
        step.due_at = locked.now + family.LOOK_AGAIN
        family.call_back(locked, step)
        return None
    if blocked := border.admission.step(locked, element, Direction.BACK, waited=True):
        _make_wait(locked, element.name, blocked, Direction.BACK)
        return None
    if not border.slots.reserve(element, Direction.BACK):
        return None
    step.undo(now=locked.now)
    return Attempt(
        held,
        element,
        Direction.BACK,
        step.undo_attempts,
        step.undo_key,
        undoes=step.idempotency_key,
        result=held.results.get(element.name),
        input=step.given_input,
    )


def _make_wait(locked: Locked, name: str, blocked: Blocked, direction: Direction) -> None:
    step = locked.step(name)
    if direction is Direction.BACK:
        step.due_at = min(blocked.until, locked.now + RETRY_ADMISSION)
    else:
        step.park(blocked.waits_for, due_at=blocked.until, waits_on=blocked.waits_on)


def _make_keys(locked: Locked, held: Held, element: Element, step: SagaStep) -> None:
    """Render the step's own key template, once: what it is made of may not be asked again."""
    assert isinstance(element, Step)
    assert element.idempotency_key is not None
    for direction, field in ((Direction.FORWARD, "idempotency_key"), (Direction.BACK, "undo_key")):
        key = rendered_step_key(
            element.idempotency_key, held.values, locked.saga.pk, direction, shared=element.shared_key
        )
        setattr(step, field, key)
    locked.writes_border_fields = True


def key_is_spent(element: Element, step: SagaStep, now: datetime) -> bool:
    """Say whether the step's next call would send a key that its participant may have forgotten."""
    direction = step.direction  # That of the saga is another, while an optional step of it is undone.
    sent_at = step.first_sent_at(direction)
    if sent_at is None or (direction is Direction.FORWARD and is_to_be_probed(element, step)):
        return False
    return key_expired(element, direction, in_doubt=step.in_doubt, since_sent=now - sent_at)


def is_to_be_probed(element: Element, step: SagaStep) -> bool:
    """Say whether the participant is asked what became of the last attempt before another is made."""
    return element.probe is not None and step.in_doubt and step.call != Call.PROBE
