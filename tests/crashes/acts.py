"""What is played up to each crash: what operators ask for, each operation of the catalogue once at least."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from sagas import (
    HALT,
    NEVER,
    Approval,
    OutcomeUnknown,
    Participant,
    PermanentFailure,
    RetryLater,
    Sleep,
    StepContext,
)
from sagas.engine.heartbeat import renew
from sagas.models import Hold, Saga
from sagas.operations.holding import hold, release
from sagas.testing import advance, run_due
from tests.crashes.stage import (
    EITHER,
    NARROW,
    OPERATOR,
    TURNED_BACK,
    Scenario,
    Stage,
    plain,
    refused,
)
from tests.engine.hands import LEASE, Hand
from tests.samples import HOUR, MINUTE, ONCE, step

FORGETFUL = Participant("forgetful", resend=NEVER)
ABANDONED = frozenset({"abandoned"})
BEFORE, AFTER = "1.00", "2.00"
"""What is to be paid before an operator changes it, and after."""


def _acts_once_looked_at(stage: Stage, ctx: StepContext) -> dict[str, Any]:
    if not stage.was_looked_at:
        raise RetryLater("Somebody has to look.")
    return stage.act(ctx, "b")


def _undoes_once_looked_at(stage: Stage, ctx: StepContext) -> None:
    if not stage.was_looked_at:
        raise PermanentFailure("Somebody has to look.")
    stage.undo(ctx, "a")


def _acts_once_changed(stage: Stage, ctx: StepContext) -> dict[str, Any]:
    if ctx.input["amount"] == BEFORE:
        raise RetryLater("It is not enough.")
    return stage.act(ctx, "b")


def _busy(stage: Stage, ctx: StepContext) -> None:
    raise RetryLater("The world is busy.")


def _acts_without_answer(stage: Stage, ctx: StepContext) -> None:
    stage.act(ctx, "b")
    raise OutcomeUnknown("No answer came.")


def _at_rest(stage: Stage) -> Saga:
    """Play a saga until it rests: other scenarios crash on the way there."""
    with stage.boundaries.passed_over():
        saga = stage.start()
        run_due()
    return saga


def _after_its_rest(stage: Stage, operation: str, **arguments: Any) -> Saga:
    """Play a saga until it rests, and ask for an operation then."""
    saga = _at_rest(stage)
    stage.operate(saga, operation, **arguments)
    _go_on(stage)
    return saga


def _go_on(stage: Stage) -> None:
    """Play what follows: it is a step, as in other scenarios."""
    with stage.boundaries.passed_over():
        run_due()


@contextmanager
def _while_at_work(stage: Stage) -> Iterator[Saga]:
    """Play a saga by hand: what is asked within is asked of one that a worker holds, and that beats."""
    hand = Hand()
    with stage.boundaries.passed_over():
        saga = stage.start()
        attempts = hand.take()
    for attempt in attempts:
        attempt.held.renewable_until = monotonic() + MINUTE.total_seconds()
    renew(hand.id, [attempt.held for attempt in attempts], lease=LEASE)
    yield saga
    while attempts:
        attempts = hand.settle(*hand.call(attempts)).attempts
    run_due()


def _cancel(stage: Stage) -> None:
    stage.operate(_at_rest(stage), "compensate")
    run_due()


def _cancel_while_at_work(stage: Stage) -> None:
    with _while_at_work(stage) as saga:
        stage.operate(saga, "compensate")


def _suspend_and_resume(stage: Stage) -> None:
    saga = stage.start()
    stage.operate(saga, "suspend")
    run_due()
    stage.operate(saga, "resume")
    _go_on(stage)


def _suspend_while_at_work_and_resume(stage: Stage) -> None:
    with _while_at_work(stage) as saga:
        stage.operate(saga, "suspend")
    stage.operate(saga, "resume")
    _go_on(stage)


def _retry(stage: Stage) -> None:
    saga = _at_rest(stage)
    stage.look()
    stage.operate(saga, "retry")
    _go_on(stage)


def _resolve(stage: Stage) -> None:
    """The operator asks the participant, and has it refuse from then on what it does not know."""
    saga = _at_rest(stage)
    key = saga.steps.get(name="b").idempotency_key
    outcome = "done"
    if not any((line.happened, line.key) == ("done", key) for line in stage.world.lines()):
        stage.world.undo(saga.pk, "b", key, key)
        outcome = "not_done"
    stage.operate(saga, "resolve", outcome=outcome)
    _go_on(stage)


def _skip(stage: Stage) -> None:
    _after_its_rest(stage, "skip", step="b")


def _edit_and_retry(stage: Stage) -> None:
    saga = _after_its_rest(stage, "edit", input={"amount": AFTER})
    stage.operate(saga, "retry")
    _go_on(stage)


def _restart(stage: Stage) -> None:
    """Who is not sure that it was restarted looks first."""
    saga = _at_rest(stage)
    if not Saga.objects.filter(restarted_from=saga).exists():
        stage.operate(saga, "restart", input={"amount": AFTER})
    _go_on(stage)


def _abandon(stage: Stage) -> None:
    _after_its_rest(stage, "abandon")


def _abandon_while_at_work(stage: Stage) -> None:
    with _while_at_work(stage) as saga:
        stage.operate(saga, "abandon")


def _late_effect(stage: Stage) -> Saga:
    """A worker is too late to say what it did: the saga has compensated meanwhile."""
    hand = Hand()
    with stage.boundaries.passed_over():
        saga = stage.start()
        outcomes = hand.call(hand.take())
        stage.operate(saga, "compensate")
        advance(2 * MINUTE)
    hand.settle(*outcomes)
    return saga


def _undo_again(stage: Stage) -> None:
    saga = _late_effect(stage)
    stage.operate(saga, "compensate")
    run_due()


def _acknowledge(stage: Stage) -> None:
    stage.operate(_late_effect(stage), "acknowledge")


def _approve(stage: Stage) -> None:
    _after_its_rest(stage, "approve", step="approve")


def _reject(stage: Stage) -> None:
    _after_its_rest(stage, "reject", step="approve")


def _hold_and_release(stage: Stage) -> None:
    """Its definition is held, and so is a participant of one of its steps: each is released in its turn."""
    hold(definition=stage.definition.name, by=OPERATOR)
    hold(participant=NARROW.name, by=OPERATOR)
    stage.start()
    for each in Hold.objects.order_by("-definition"):
        with stage.boundaries.passed_over():
            run_due()
        release(each, by=OPERATOR)
    _go_on(stage)


_HALTING = step("b", retry=ONCE, on_exhausted=HALT)
_TO_APPROVE = plain(step("a"), Approval("sagas.approve", timeout=HOUR, name="approve"), step("b"))
_HOLDING_ALL_THERE_IS = plain(
    step("a"),
    step("b", participant=NARROW, retry=ONCE),
    locks=["order:{order_id}"],
    key="{order_id}",
    max_running=1,
    on_exhausted=HALT,
)

ACTS = [
    Scenario(
        "a client cancels",
        plain(step("a"), Sleep(MINUTE, name="rest"), step("b")),
        _cancel,
        ends=EITHER,
    ),
    Scenario(
        "it is cancelled while at work",
        plain(step("a"), step("b")),
        _cancel_while_at_work,
        ends=EITHER,
    ),
    Scenario(
        "what has completed is undone",
        plain(step("a"), step("b"), locks=["order:{order_id}"], undo_after_completion=True),
        _cancel,
        ends=TURNED_BACK,
    ),
    Scenario("a late effect is undone again", plain(step("a")), _undo_again, ends=TURNED_BACK, seen_to=True),
    Scenario("a late effect is acknowledged", plain(step("a")), _acknowledge, ends=TURNED_BACK, seen_to=True),
    Scenario("it is suspended and resumed", plain(step("a"), step("b")), _suspend_and_resume),
    Scenario("it is suspended while at work", plain(step("a"), step("b")), _suspend_while_at_work_and_resume),
    Scenario(
        "a step is retried",
        plain(step("a"), _HALTING, step("c")),
        _retry,
        {"b": _acts_once_looked_at},
    ),
    Scenario(
        "a compensation is retried",
        plain(step("a"), step("b")),
        _retry,
        {"b": refused, "undo a": _undoes_once_looked_at},
        TURNED_BACK,
    ),
    Scenario(
        "it is resolved",
        plain(step("a"), step("b", participant=FORGETFUL, retry=ONCE, on_exhausted=HALT), step("c")),
        _resolve,
        {"b": _acts_without_answer},
        EITHER,
    ),
    Scenario(
        "a step is skipped",
        plain(step("a"), _HALTING, step("c")),
        _skip,
        {"b": _busy},
    ),
    Scenario(
        "its input is edited",
        plain(step("a"), _HALTING),
        _edit_and_retry,
        {"b": _acts_once_changed},
    ),
    Scenario(
        "it is restarted",
        plain(step("a"), step("b", retry=ONCE)),
        _restart,
        {"b": _acts_once_changed},
        EITHER,
    ),
    Scenario("it is abandoned", _HOLDING_ALL_THERE_IS, _abandon, {"b": _busy}, ABANDONED),
    Scenario("it is abandoned while at work", _HOLDING_ALL_THERE_IS, _abandon_while_at_work, ends=ABANDONED),
    Scenario("it is approved", _TO_APPROVE, _approve),
    Scenario("it is rejected", _TO_APPROVE, _reject, ends=TURNED_BACK),
    Scenario("it is held", plain(step("a"), step("b", participant=NARROW)), _hold_and_release),
]
