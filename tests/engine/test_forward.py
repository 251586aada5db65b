"""The way forward: stage after stage, and each step until it is done or given up."""

from __future__ import annotations

import pytest

from sagas import (
    Parallel,
    PermanentFailure,
    RetryLater,
    start,
)
from sagas.keys import step_key
from sagas.states import Direction
from sagas.testing import advance, run_saga
from tests.samples import MINUTE, STEADY, OrderInput, history, statuses, step

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


def test_not_even_when_one_is_tried_again_after_the_other_is_done(define, play):
    definition = define(Parallel(step("pay", retry=STEADY), step("pack")))
    play.always("pack", {"by": "pack"})
    play.says("pay", RetryLater("busy"))
    run_saga(definition, {})
    advance(MINUTE)
    assert [ctx.results for ctx in play.contexts["pay"]] == [{}, {}]


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
