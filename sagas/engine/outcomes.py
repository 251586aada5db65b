"""What an attempt's outcome does to the rows of a locked saga, in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from sagas.engine import family
from sagas.engine.attempts import Attempt, Settled
from sagas.engine.facts import FactKind, fulfil
from sagas.engine.locked import Locked
from sagas.engine.verdicts import Again, Complete, Doubt, Fail, GiveBack, Record, Verdict, judge, judge_probe
from sagas.messaging.outbox import of_saga
from sagas.models import HistoryKind, SagaStep
from sagas.states import Attention, Call, Direction, Outcome, StepKind, WaitsFor

_NO_FAILURE = frozenset({Outcome.DONE, Outcome.UNSENT})


def fits(locked: Locked, attempt: Attempt) -> bool:
    """Say whether this attempt is the one that the row says is in flight."""
    step = locked.steps.get(attempt.step.name)
    return (
        step is not None
        and step.in_flight
        and step.direction is attempt.direction
        and step.call == attempt.call
        and step.attempt_number(attempt.direction) == attempt.number
    )


def record_of(locked: Locked, step: SagaStep, direction: Direction) -> Record:
    """Return what the step's row says about its attempts so far."""
    return Record(
        spent=step.spent(direction),
        since_round=locked.now - (step.round_at or locked.now),
        since_sent=locked.now - (step.first_sent_at(direction) or locked.now),
        in_doubt=step.in_doubt and direction is Direction.FORWARD,
        lands_for=max((step.inflight_until or locked.now) - locked.now, timedelta(0)),
        turning_back=locked.direction is Direction.BACK,
    )


def apply(locked: Locked, settled: Settled) -> None:
    """Write the outcome of the attempt in flight to its step."""
    attempt = settled.attempt
    step = locked.step(attempt.step.name)
    if settled.outcome not in _NO_FAILURE and attempt.call is not Call.PROBE:
        _note_failure(locked, step, settled)
    verdict = _verdict(locked, step, settled)
    if attempt.direction is Direction.BACK:
        _apply_back(locked, step, verdict)
    elif attempt.call is Call.CONDITION and isinstance(verdict, Complete):
        step.answer(bool(settled.result))
        if not settled.result:
            step.skip(now=locked.now)
    else:
        _apply_forward(locked, step, verdict, settled)
    if isinstance(verdict, Complete):
        _publish(locked, settled)


def _verdict(locked: Locked, step: SagaStep, settled: Settled) -> Verdict:
    attempt, outcome = settled.attempt, settled.outcome
    if outcome is Outcome.DONE:
        return Complete()  # As most are; whatever was before.
    record = record_of(locked, step, attempt.direction)
    on_exhausted = locked.definition.on_exhausted
    if attempt.call is Call.PROBE:
        verdict = judge_probe(attempt.step, outcome, record, on_exhausted=on_exhausted)
        if isinstance(verdict, Again) and outcome is not Outcome.UNKNOWN:
            step.call = Call.ACTION  # It is asked again, or need not be.
        return verdict
    verdict = judge(
        attempt.step, attempt.direction, outcome, record, delay=settled.delay, on_exhausted=on_exhausted
    )
    return _without_doubt(verdict) if attempt.call is Call.CONDITION else verdict


def _apply_forward(locked: Locked, step: SagaStep, verdict: Verdict, settled: Settled) -> None:
    element = settled.attempt.step
    match verdict:
        case Complete() if family.is_family(element):
            family.bear(locked, step, element, settled.result)  # type: ignore[arg-type]
        case Complete() if element.kind is StepKind.SLEEP:
            step.park(WaitsFor.TIMER, due_at=max(datetime.fromisoformat(settled.result["until"]), locked.now))
        case Complete():
            step.complete(now=locked.now)
            step.result = settled.attempt.held.results[step.name] = settled.result or {}
            if locked.saga.error_class and not any(other.error_class for other in locked.steps.values()):
                locked.saga.clear_error()
        case Again(delay, in_doubt, cleared=cleared):
            step.park(WaitsFor.RETRY, due_at=locked.now + delay, in_doubt=in_doubt)
            step.in_doubt = step.in_doubt and not cleared
        case Doubt(attention):
            step.doubt(now=locked.now)
            locked.saga.attention = attention or locked.saga.attention
        case Fail() if element.optional:
            step.skip(now=locked.now)
        case Fail(attention):
            step.fail(now=locked.now)
            locked.saga.attention = attention or locked.saga.attention
        case GiveBack():
            step.park(WaitsFor.RETRY, due_at=locked.now, in_doubt=False)
            step.attempts -= 1
    if element.kind is StepKind.EVENT and not isinstance(verdict, (Again, GiveBack)):
        fulfil(locked, FactKind.EVENT, step.name)


def _without_doubt(verdict: Verdict) -> Verdict:
    """Return the verdict on a call that changes nothing: whatever came of it, nothing happened."""
    match verdict:
        case Again(delay):
            return Again(delay)
        case Doubt(attention):
            return Fail(attention)
    return verdict


def _publish(locked: Locked, settled: Settled) -> None:
    key = settled.attempt.idempotency_key
    for number, event in enumerate(settled.events):
        locked.published.append(of_saga(locked.saga, event, key, number))


def _apply_back(locked: Locked, step: SagaStep, verdict: Verdict) -> None:
    match verdict:
        case Complete():
            step.undone(now=locked.now)
        case Again(delay):
            step.due_at = locked.now + delay
        case GiveBack():
            step.due_at = locked.now
            step.undo_attempts -= 1
        case _:
            step.undo_failed(now=locked.now)


def _note_failure(locked: Locked, step: SagaStep, settled: Settled) -> None:
    attempt = settled.attempt
    step.error_class, step.error = settled.error_class, settled.error
    locked.saga.note_error(settled.error_class, settled.error, step=step.name)
    leaves_traces = attempt.step.kind is StepKind.STEP and attempt.call is Call.ACTION
    if settled.outcome is Outcome.UNKNOWN and attempt.direction is Direction.FORWARD and leaves_traces:
        step.inflight_until = _inflight_until(settled, locked.now) or step.inflight_until
    locked.record(
        kind=HistoryKind.ATTEMPT,
        step=step.name,
        direction=attempt.direction.value,
        attempt=attempt.number,
        data={
            "outcome": settled.outcome.value,
            "class": settled.error_class,
            "error": settled.error,
            "seconds": round(settled.seconds, 3),
            **({"trace": settled.trace} if settled.trace else {}),
        },
    )


def _inflight_until(settled: Settled, now: datetime) -> datetime | None:
    """Return until when the call may still take effect; None if it has surely ended."""
    if settled.ended and settled.attempt.step.participant is None:
        return None  # It touched this database only, and its function has returned.
    return now - timedelta(seconds=monotonic() - settled.sent) + settled.attempt.step.max_inflight


def keep_as_evidence(locked: Locked, settled: Settled) -> None:
    """Record a result that counts no more; a late effect of something undone needs a person."""
    attempt = settled.attempt
    if settled.outcome is Outcome.UNSENT:
        return
    step = locked.steps.get(attempt.step.name)
    forward = attempt.direction is Direction.FORWARD
    data: dict[str, Any] = {
        "outcome": settled.outcome.value,
        "class": settled.error_class,
        "error": settled.error,
    }
    if settled.outcome is Outcome.DONE:
        data["result"] = settled.result
        if forward and step is not None and step.direction is Direction.BACK:
            locked.saga.attention = data["attention"] = Attention.LATE_EFFECT.value
            locked.saga.note_error(
                "LateEffect", f"{attempt.label} took effect after it was undone.", step=attempt.step.name
            )
    locked.record(
        kind=HistoryKind.EVIDENCE,
        step=attempt.step.name,
        direction=attempt.direction.value,
        attempt=attempt.number,
        data=data,
    )


def refuse(locked: Locked, settled: Settled, why: str) -> None:
    """Write that the outcome of the attempt in flight could not be stored, and have the saga halted."""
    step = locked.step(settled.attempt.step.name)
    step.error_class = why
    step.error = f"{settled.attempt.label} came to {settled.outcome.value}, but could not be stored."
    locked.saga.note_error(why, step.error, step=step.name)
    locked.saga.attention = Attention.UNKNOWN_OUTCOME
    if settled.attempt.direction is Direction.FORWARD:
        step.inflight_until = _inflight_until(settled, locked.now)
        step.doubt(now=locked.now)
    else:
        step.undo_failed(now=locked.now)
