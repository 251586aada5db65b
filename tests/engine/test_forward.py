"""The way forward: stage after stage, and each step until it is done or given up."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from sagas import (
    COMPENSATE,
    HALT,
    OutcomeUnknown,
    Parallel,
    PermanentFailure,
    RetryLater,
    RetryPolicy,
    StepContext,
    start,
)
from sagas.clock import database_now
from sagas.keys import step_key
from sagas.models import HistoryKind, Saga
from sagas.states import Direction
from sagas.testing import advance, run_saga
from tests.samples import MINUTE, SECOND, STEADY, OrderInput, history, statuses, step

pytestmark = pytest.mark.django_db


def test_steps_run_in_order_and_the_saga_is_complete(define, play):
    saga = run_saga(define(step("book"), step("pay", asynchronous=True), step("send")), {})

    assert play.calls == ["book", "pay", "send"]
    assert saga.status == "completed"
    assert statuses(saga) == {"book": "completed", "pay": "completed", "send": "completed"}
    assert (saga.steps_done, saga.steps_total, saga.current_step) == (3, 3, "send")
    assert saga.ended_at is not None
    assert (saga.due_at, saga.held_by, saga.error, saga.attention) == (None, None, "", "")


def test_a_step_is_told_whose_it_is_and_what_it_works_on(define, play):
    definition = define(step("pay"), input=OrderInput, key="order:{order_id}")
    saga = run_saga(definition, {"order_id": "7"})

    ctx = play.context("pay")
    assert ctx.saga_id == saga.pk
    assert ctx.key == "order:7"
    assert ctx.input == {"order_id": "7", "amount": "1.00"}
    assert ctx.idempotency_key == step_key(saga.pk, "pay", Direction.FORWARD)
    assert (ctx.attempt, ctx.results, ctx.undoes, ctx.result) == (1, {}, None, None)
    assert ctx.deadline is not None


def test_results_flow_to_later_steps_under_their_steps_names(define, play):
    definition = define(step("book"), step("pay"), step("send"))
    play.always("book", {"reference": "B-1", "seats": [1, 2]})
    play.always("pay", {"reference": "P-1"})
    run_saga(definition, {})

    assert play.context("book").results == {}
    assert play.context("pay").results == {"book": {"reference": "B-1", "seats": [1, 2]}}
    assert play.context("send").results == {
        "book": {"reference": "B-1", "seats": [1, 2]},
        "pay": {"reference": "P-1"},
    }


def test_results_are_the_same_when_another_worker_goes_on(define, play):
    definition = define(step("book"), step("pay", retry=STEADY))
    play.always("book", {"price": 1.5, "nested": {"deep": [None, True, "é"]}})
    play.says("pay", RetryLater("busy"))
    run_saga(definition, {})
    advance(MINUTE)

    in_memory, read_back = play.contexts["pay"]
    assert in_memory.results == read_back.results
    assert in_memory.input == read_back.input


def test_a_step_that_returns_nothing_has_an_empty_result(define, play):
    saga = run_saga(define(step("book"), step("pay")), {})
    assert play.context("pay").results == {"book": {}}
    assert saga.steps.get(name="book").result == {}


def test_steps_side_by_side_do_not_see_each_other(define, play):
    definition = define(step("book"), Parallel(step("pay"), step("pack")), step("send"))
    for name in ("book", "pay", "pack"):
        play.always(name, {"by": name})
    run_saga(definition, {})

    assert set(play.context("pay").results) == set(play.context("pack").results) == {"book"}
    assert set(play.context("send").results) == {"book", "pay", "pack"}


def test_steps_side_by_side_are_sent_together_and_awaited_together(define, play, hand):
    saga = start(define(Parallel(step("pay"), step("pack")), step("send")), {})

    pay, pack = hand.take()
    assert {pay.step.name, pack.step.name} == {"pay", "pack"}
    assert hand.settle(*hand.call([pay])).attempts == []
    assert statuses(saga) == {"pay": "completed", "pack": "running", "send": "pending"}
    [send] = hand.settle(*hand.call([pack])).attempts
    assert send.step.name == "send"


def test_an_attempt_is_marked_before_it_is_sent(define, hand):
    saga = start(define(step("pay")), {})
    hand.take()

    saga.refresh_from_db()
    pay = saga.steps.get()
    assert (saga.status, saga.held_by, saga.fence) == ("running", hand.id, 1)
    assert (pay.status, pay.attempts, pay.sent_at) == ("running", 1, pay.started_at)
    assert pay.sent_at is not None


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


def test_sagas_that_fail_alike_are_grouped(define, play):
    definition = define(step("book"), step("pay"))
    play.always("pay", PermanentFailure("declined: 4711"))
    first = run_saga(definition, {})
    play.always("pay", PermanentFailure("declined: 4712"))
    second = run_saga(definition, {})
    play.always("pay", None)
    play.always("book", PermanentFailure("declined: 4712"))
    third = run_saga(definition, {})
    assert first.error_fingerprint == second.error_fingerprint != third.error_fingerprint


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
    assert [each.data for each in attempts] == [
        {"outcome": "unknown", "class": "OutcomeUnknown", "error": "no answer"},
        {"outcome": "later", "class": "RetryLater", "error": "busy"},
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


def test_siblings_of_a_failed_step_are_awaited_and_undone(define, play, hand):
    definition = define(Parallel(step("pay"), step("pack")), step("send"))
    play.says("pay", PermanentFailure("declined"))
    saga = start(definition, {})

    pay, pack = hand.take()
    assert hand.settle(*hand.call([pay])).attempts == []
    saga.refresh_from_db()
    assert saga.status == "running"
    [undo] = hand.settle(*hand.call([pack])).attempts
    assert (undo.step.name, undo.direction) == ("pack", Direction.BACK)


def test_a_sibling_that_waits_for_its_next_attempt_is_not_tried_again(define, play):
    definition = define(Parallel(step("pay", retry=STEADY), step("pack")))
    play.says("pay", RetryLater("busy"))
    play.says("pack", PermanentFailure("no box"))
    saga = run_saga(definition, {})
    assert statuses(saga) == {"pay": "failed", "pack": "failed"}
    assert saga.status == "compensated"


def test_the_story_of_a_smooth_saga_has_two_lines(define):
    saga = run_saga(define(*(step(name) for name in "abcde")), {})
    assert [(each.kind, each.from_status, each.to_status) for each in history(saga)] == [
        ("status", "pending", "running"),
        ("status", "running", "completed"),
    ]
