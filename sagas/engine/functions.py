"""Calls one function of the author's, here and now, and says what it came to.

No exception of a step escapes, not even those that mean to end the process: each becomes an outcome.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from time import monotonic
from traceback import TracebackException
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils import timezone

from sagas.canonical import clean_text, gate
from sagas.definitions import Event, Sleep, StepContext, SubSaga, SubSagas, is_async, registry
from sagas.engine import callbacks
from sagas.engine.attempts import Attempt, NotDone, Settled
from sagas.engine.inputs import validated, validated_each
from sagas.exceptions import InputRefused, NotStorable, OutcomeUnknown, PermanentFailure, RetryLater
from sagas.models import Saga
from sagas.redaction import declared_by, masked
from sagas.states import Call, Outcome
from sagas.telemetry import current_traceparent, tracing

log = logging.getLogger("sagas.engine")

MAX_ERROR_CLASS = 200
MOST_FRAMES = 30
MOST_OF_A_TRACE = 8000
"""Characters."""


def context_of(attempt: Attempt) -> StepContext:
    """Return what the step's function is given."""
    held, step = attempt.held, attempt.step
    stage_of = registry.named(held.definition).outline().stage_of
    stage = stage_of[step.name]
    return StepContext(
        saga_id=held.id,
        key=held.key,
        input=held.input if attempt.input is None else attempt.input,
        results={name: result for name, result in held.results.items() if stage_of.get(name, stage) < stage},
        attempt=attempt.number,
        idempotency_key=attempt.idempotency_key,
        undoes=attempt.undoes,
        result=attempt.result,
        deadline=timezone.now() + step.time_limit(attempt.direction, attempt.call),
        traceparent=current_traceparent.get() or None,
        asked_to_stop=lambda: held.asked_to_stop,
        issue_callback=lambda wait: callbacks.issue(held, wait),
    )


def tracing_of(attempt: Attempt) -> tracing:
    """Return what marks the log lines and calls of an attempt as its own."""
    return tracing(attempt.held.id, attempt.held.traceparent, attempt)


def returned(attempt: Attempt, result: Any, *, sent: float, events: Sequence[Event] = ()) -> Settled:
    """Return what a call that returned came to. A result that cannot be stored is no proof of anything."""
    if attempt.call is Call.PROBE and result is None:
        return Settled(attempt=attempt, outcome=Outcome.NOT_DONE, sent=sent)
    try:
        stored = _storable(attempt, result)
        for event in events:
            gate(dict(event.data), f"The data of event {event.topic!r}")
    except (NotStorable, InputRefused) as refusal:
        return raised(attempt, refusal, sent=sent)
    return Settled(attempt=attempt, outcome=Outcome.DONE, result=stored, events=events, sent=sent)


def _storable(attempt: Attempt, result: Any) -> Any:
    """Return what is stored of a call's result, in the shape its element gives it."""
    element = attempt.step
    if attempt.call is Call.CONDITION:
        return bool(result)
    if isinstance(element, SubSaga):
        return [validated(element.definition, result)]
    if isinstance(element, SubSagas):
        return list(validated_each(element.definition, result))
    if isinstance(element, Sleep):
        return {"until": _moment(element, result).isoformat()}
    if result is not None and not isinstance(result, dict):
        raise NotStorable(
            f"Step {element.name!r} returned a {type(result).__name__}. Return a dict, or None."
        )
    return gate(result, f"The result of step {element.name!r}")


def _moment(element: Sleep, result: Any) -> datetime:
    if not isinstance(result, datetime) or result.tzinfo is None:
        raise NotStorable(f"The until= of {element.name!r} returned {result!r}. Return an aware datetime.")
    return result


def raised(attempt: Attempt, error: BaseException, *, sent: float, ended: bool = True) -> Settled:
    """Return what a call that raised came to."""
    delay = None
    match error:
        case PermanentFailure():
            outcome = Outcome.NOT_DONE
        case RetryLater():
            outcome, delay = Outcome.LATER, error.delay
        case _:
            # What an atomic step wrote has been rolled back: nothing happened.
            outcome = Outcome.LATER if attempt.is_atomic else Outcome.UNKNOWN
    declared, trace = declared_by(attempt.held.definition), ""
    if not isinstance(error, (PermanentFailure, RetryLater, OutcomeUnknown)):
        trace = masked(_trace_of(error), attempt.held.values, declared)
        # The exception itself goes to whoever collects errors, unless it could tell what it should not.
        log.warning(
            "%s raised %s.%s",
            attempt.label,
            type(error).__name__,
            f"\n{trace}" if declared else "",
            exc_info=None if declared else error,
        )
    return Settled(
        attempt=attempt,
        outcome=outcome,
        error_class=clean_text(type(error).__name__)[:MAX_ERROR_CLASS],
        error=masked(_text_of(error), attempt.held.values, declared),
        trace=trace,
        seconds=monotonic() - sent,
        delay=delay,
        ended=ended,
        sent=sent,
    )


def unsent(attempt: Attempt) -> Settled:
    """Return what becomes of an attempt whose call was never made."""
    return Settled(attempt=attempt, outcome=Outcome.UNSENT, sent=monotonic())


def arguments(attempt: Attempt, ctx: StepContext) -> tuple[Any, ...]:
    return (ctx,) if attempt.event is None else (ctx, attempt.event)


def _called(attempt: Attempt, function: Callable[..., Any], sent: float) -> Settled:
    ctx = context_of(attempt)
    return returned(attempt, function(*arguments(attempt, ctx)), sent=sent, events=ctx.published)


def _called_atomically(attempt: Attempt, function: Callable[..., Any], sent: float) -> Settled:
    """Make the call in a savepoint, which only a call that is done leaves behind."""
    with transaction.atomic(using=Saga.objects.db):
        settled = _called(attempt, function, sent)
        if settled.outcome is not Outcome.DONE:
            transaction.set_rollback(True, using=Saga.objects.db)
        return settled


def call_here(attempt: Attempt) -> Settled:
    """Make the call in this thread, to its end."""
    sent = monotonic()
    function = attempt.step.function(attempt.direction, attempt.call)
    with tracing_of(attempt) as trace:
        try:
            if is_async(function):
                function = async_to_sync(function)
            make = _called_atomically if attempt.is_atomic else _called
            settled = make(attempt, function, sent)
        except BaseException as error:
            settled = raised(attempt, error, sent=sent)
        trace.came_to(settled.outcome.value, settled.error_class)
        return settled


def call_trustingly(attempt: Attempt) -> Settled:
    """Make an atomic call in the transaction at hand, without a savepoint. Raise `NotDone` if it is not done.

    What it wrote can only be undone with everything else in the transaction then.
    """
    with tracing_of(attempt) as trace:
        try:
            settled = _called(attempt, attempt.step.function(attempt.direction, attempt.call), monotonic())
        except BaseException as error:
            raise NotDone(attempt.label) from error
        trace.came_to(settled.outcome.value, settled.error_class)
    if settled.outcome is not Outcome.DONE:
        raise NotDone(attempt.label)
    return settled


def _trace_of(error: BaseException) -> str:
    """Return the traceback, without the values of variables; of a long one the end, where it broke."""
    try:
        told = "".join(TracebackException.from_exception(error, limit=-MOST_FRAMES, compact=True).format())
    except BaseException:
        return ""
    return clean_text(told, most=MOST_OF_A_TRACE, keep_end=True)


def _text_of(error: BaseException) -> str:
    try:
        return clean_text(str(error))
    except BaseException:
        return f"<{type(error).__name__} without a readable message>"
