"""Steps that wait: entering the wait, hearing what was waited for, and giving up."""

from __future__ import annotations

from datetime import datetime, timedelta

from sagas.definitions import CONTINUE, Approval, Element, Event, Sleep, WaitForEvent
from sagas.engine import inbox
from sagas.engine.attempts import Held
from sagas.engine.facts import FactKind, fulfil, open_fact
from sagas.engine.locked import Locked
from sagas.keys import render_key
from sagas.models import SagaFact, SagaStep
from sagas.states import StepStatus, WaitsFor


def wait(locked: Locked, element: Element, step: SagaStep, held: Held) -> Event | None:
    """Move a waiting element as far as it goes without a call; return the event for its `accept`."""
    match element:
        case WaitForEvent():
            return _wait_for_event(locked, element, step, held)
        case Approval():
            _wait_for_approval(locked, element, step, held)
        case Sleep(duration=duration):
            _sleep(locked, step, locked.now + (duration or timedelta(0)))
        case _:
            raise AssertionError(f"{element!r} does not wait.")
    return None


def _sleep(locked: Locked, step: SagaStep, until: datetime) -> None:
    if step.waits_for == WaitsFor.TIMER:
        step.complete(now=locked.now)
        step.result = {}
    else:
        _enter(locked, step, WaitsFor.TIMER, until)


def _wait_for_event(locked: Locked, element: WaitForEvent, step: SagaStep, held: Held) -> Event | None:
    waits_on = step.waits_on if step.status == StepStatus.WAITING else ""
    if not waits_on.startswith("event:"):
        waits_on = inbox.address(element.topic, _rendered(element, held))
    event = _event_of(element, open_fact(locked, FactKind.EVENT, step.name))
    if event is None:
        if step.waits_for == WaitsFor.EVENT:
            give_up(locked, element, step, "the event did not come")
        else:
            _enter(locked, step, WaitsFor.EVENT, locked.now + element.timeout, waits_on)
            locked.waiting.append(step)
        return None
    if element.accept is not None:
        return event
    _enter(locked, step, WaitsFor.EVENT, locked.now, waits_on)
    step.complete(now=locked.now)
    step.result = held.results[step.name] = dict(event.data)
    fulfil(locked, FactKind.EVENT, step.name)
    return None


def _rendered(element: WaitForEvent, held: Held) -> str:
    return render_key(element.correlate, held.values)


def _event_of(element: WaitForEvent, fact: SagaFact | None) -> Event | None:
    return None if fact is None else Event(element.topic, fact.data["data"])


def _wait_for_approval(locked: Locked, element: Approval, step: SagaStep, held: Held) -> None:
    decision = open_fact(locked, FactKind.APPROVAL, step.name)
    if step.waits_for != WaitsFor.APPROVAL:
        _enter(locked, step, WaitsFor.APPROVAL, locked.now + element.timeout)
    elif decision is None:
        give_up(locked, element, step, "nobody decided")
    elif decision.data["approved"]:
        step.complete(now=locked.now)
        step.result = held.results[step.name] = {"by": decision.by, "reason": decision.data["reason"]}
    else:
        _fail(locked, step, "Rejected", f"{decision.by or 'Somebody'} rejected it: {decision.data['reason']}")
    fulfil(locked, FactKind.APPROVAL, step.name)


def give_up(locked: Locked, element: WaitForEvent | Approval, step: SagaStep, why: str) -> None:
    """End a wait whose time is up."""
    if element.on_timeout is CONTINUE:
        step.skip(now=locked.now)
        return
    waited_on = step.waits_on
    _fail(locked, step, "TimedOut", f"{element.name} waited for {element.timeout}, and {why}.")
    step.waits_on = waited_on if element.pivot else ""  # An event that comes late has to be heard.


def _fail(locked: Locked, step: SagaStep, error_class: str, error: str) -> None:
    step.error_class, step.error = error_class, error
    locked.saga.note_error(error_class, error, step=step.name)
    step.fail(now=locked.now)


def _enter(locked: Locked, step: SagaStep, waits_for: WaitsFor, due_at: datetime, waits_on: str = "") -> None:
    step.started_at = step.started_at or locked.now
    step.park(waits_for, due_at=due_at, waits_on=waits_on)
