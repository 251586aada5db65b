"""A step that failed is tried again until its policy says no; then its saga turns back, or halts."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from sagas import (
    COMPENSATE,
    HALT,
    OutcomeUnknown,
    PermanentFailure,
    RetryLater,
    RetryPolicy,
    StepContext,
)
from sagas.clock import database_now
from sagas.models import HistoryKind, Saga
from sagas.testing import advance, run_saga
from tests.samples import MINUTE, SECOND, STEADY, history, statuses, step

pytestmark = pytest.mark.django_db


def test_what_failed_is_tried_again_under_the_same_key_as_its_policy_says(define, play):
    definition = define(step("pay", retry=STEADY))
    play.says("pay", OutcomeUnknown("no answer"), RetryLater("busy"), {"paid": True})
    saga = run_saga(definition, {})
    assert play.calls == ["pay"]
    assert saga.status == "running"
    assert saga.held_by is None

    advance(9 * SECOND)
    assert play.calls == ["pay"]
    advance(2 * SECOND)
    assert play.calls == ["pay"] * 2
    advance(11 * SECOND)
    assert play.calls == ["pay"] * 3

    saga.refresh_from_db()
    assert saga.status == "completed"
    assert [ctx.attempt for ctx in play.contexts["pay"]] == [1, 2, 3]
    assert len({ctx.idempotency_key for ctx in play.contexts["pay"]}) == 1


def test_waits_grow_as_the_policy_says(define, play):
    policy = RetryPolicy(attempts=4, first_delay=SECOND, factor=3, jitter=0)
    sent: list[datetime] = []

    def refuse(ctx: StepContext) -> None:
        sent.append(database_now(Saga.objects.db))
        raise RetryLater("busy")

    play.always("pay", refuse)
    run_saga(define(step("pay", retry=policy)), {})
    advance(MINUTE)
    waits = [later - earlier for earlier, later in pairwise(sent)]
    assert [round(wait.total_seconds()) for wait in waits] == [1, 3, 9]  # 1 · 3^(n-1)


@pytest.mark.parametrize("delay", [timedelta(0), 5 * SECOND, 3 * MINUTE])
def test_a_step_can_say_when_to_come_back(define, play, delay):
    definition = define(step("pay", retry=STEADY))
    play.says("pay", RetryLater("busy", delay=delay))
    run_saga(definition, {})
    if delay:
        advance(delay - SECOND)
        assert play.calls == ["pay"]
        advance(2 * SECOND)
    assert play.calls == ["pay"] * 2


def test_a_step_that_comes_back_later_for_ever_uses_its_attempts_up(define, play):
    definition = define(step("pay", retry=STEADY))
    play.always("pay", RetryLater("busy", delay=timedelta(0)))
    saga = run_saga(definition, {})
    assert play.calls == ["pay"] * 3
    assert saga.status == "compensated"


@pytest.mark.parametrize(
    "error", [OutcomeUnknown("no answer"), RuntimeError("bug"), ConnectionError("reset"), TimeoutError()]
)
def test_what_a_step_did_not_explain_is_not_known(define, play, error):
    definition = define(step("pay", retry=STEADY))
    play.says("pay", error)
    saga = run_saga(definition, {})

    pay = saga.steps.get()
    assert (pay.status, pay.waits_for, pay.in_doubt) == ("waiting", "retry", True)
    assert (saga.error_class, saga.error) == (type(error).__name__, str(error))


def test_what_provably_did_not_happen_leaves_no_doubt(define, play):
    definition = define(step("pay", retry=STEADY))
    play.says("pay", RetryLater("busy"))
    assert not run_saga(definition, {}).steps.get().in_doubt


def test_an_error_that_was_overcome_is_forgotten(define, play):
    definition = define(step("pay", retry=STEADY))
    play.says("pay", OutcomeUnknown("no answer"))
    saga = run_saga(definition, {})
    assert saga.error_fingerprint
    advance(MINUTE)

    saga.refresh_from_db()
    pay = saga.steps.get()
    assert (saga.error_class, saga.error, saga.error_fingerprint) == ("", "", "")
    assert (pay.error_class, pay.error, pay.in_doubt) == ("", "", False)


def test_each_attempt_that_did_not_simply_succeed_is_told(define, play):
    definition = define(step("pay", retry=STEADY))
    play.says("pay", OutcomeUnknown("no answer"), RetryLater("busy"))
    saga = run_saga(definition, {})
    advance(MINUTE)

    attempts = history(saga, HistoryKind.ATTEMPT)
    assert [(each.step, each.direction, each.attempt) for each in attempts] == [
        ("pay", "forward", 1),
        ("pay", "forward", 2),
    ]
    assert [each.data | {"seconds": 0} for each in attempts] == [
        {"outcome": "unknown", "class": "OutcomeUnknown", "error": "no answer", "seconds": 0},
        {"outcome": "later", "class": "RetryLater", "error": "busy", "seconds": 0},
    ]


def test_a_permanent_failure_is_not_tried_again(define, play):
    definition = define(step("book"), step("pay", retry=STEADY), step("send"))
    play.says("pay", PermanentFailure("declined"))
    saga = run_saga(definition, {})

    assert play.calls == ["book", "pay", "undo book"]
    assert saga.status == "compensated"
    assert statuses(saga) == {"book": "compensated", "pay": "failed", "send": "pending"}
    assert (saga.error_class, saga.error) == ("PermanentFailure", "declined")


def test_attempts_that_are_used_up_turn_the_saga_back(define, play):
    definition = define(step("book"), step("pay", retry=STEADY))
    play.always("pay", RetryLater("busy"))
    saga = run_saga(definition, {})
    advance(MINUTE)

    saga.refresh_from_db()
    assert play.calls == ["book", "pay", "pay", "pay", "undo book"]
    assert saga.status == "compensated"


@pytest.mark.parametrize(
    ("of_definition", "of_step", "status", "attention"),
    [
        (COMPENSATE, None, "compensated", ""),
        (HALT, None, "failed", "step_exhausted"),
        (COMPENSATE, HALT, "failed", "step_exhausted"),
        (HALT, COMPENSATE, "compensated", ""),
    ],
)
def test_or_halt_it_where_that_was_asked_for(define, play, of_definition, of_step, status, attention):
    definition = define(
        step("book"), step("pay", retry=STEADY, on_exhausted=of_step), on_exhausted=of_definition
    )
    play.always("pay", RetryLater("busy"))
    saga = run_saga(definition, {})
    advance(MINUTE)

    saga.refresh_from_db()
    assert (saga.status, saga.attention) == (status, attention)
    assert (saga.direction == "forward") is (status == "failed")


def test_a_refusal_turns_back_also_where_attempts_used_up_would_halt(define, play):
    definition = define(step("pay"), on_exhausted=HALT)
    play.says("pay", PermanentFailure("declined"))
    assert run_saga(definition, {}).status == "compensated"
