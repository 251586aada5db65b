"""The way back: what may have happened is undone in reverse order, and what fails waits for a person."""

from __future__ import annotations

import pytest

from sagas import OutcomeUnknown, Parallel, PermanentFailure, RetryLater, RetryPolicy, start
from sagas.keys import step_key
from sagas.states import Direction
from sagas.testing import advance, run_saga
from tests.samples import HOUR, MINUTE, ONCE, SECOND, STEADY, history, statuses, step

pytestmark = pytest.mark.django_db

NO = PermanentFailure("no")
LOST = OutcomeUnknown("no answer")


def test_stages_are_undone_in_reverse_order(define, play):
    definition = define(step("a"), step("b"), step("c"), step("d"))
    play.says("d", NO)
    saga = run_saga(definition, {})

    assert play.calls == ["a", "b", "c", "d", "undo c", "undo b", "undo a"]
    assert saga.status == "compensated"
    assert statuses(saga) == {"a": "compensated", "b": "compensated", "c": "compensated", "d": "failed"}
    assert (saga.direction, saga.due_at, saga.held_by) == ("back", None, None)
    assert saga.ended_at is not None


def test_steps_side_by_side_are_undone_side_by_side(define, play, hand):
    definition = define(step("a"), Parallel(step("b"), step("c")), step("d"))
    play.says("d", NO)
    start(definition, {})
    attempts = hand.take()
    while attempts[0].direction is Direction.FORWARD:
        attempts = hand.settle(*hand.call(attempts)).attempts

    undo_b, undo_c = attempts
    assert {undo_b.step.name, undo_c.step.name} == {"b", "c"}
    assert hand.settle(*hand.call([undo_c])).attempts == []
    [undo_a] = hand.settle(*hand.call([undo_b])).attempts
    assert undo_a.step.name == "a"


def test_a_compensation_is_told_what_to_undo(define, play):
    definition = define(step("a"), step("b"), step("c"), step("d"))
    for name in "abc":
        play.always(name, {"by": name})
    play.says("d", NO)
    saga = run_saga(definition, {})

    ctx = play.context("undo b")
    assert ctx.undoes == play.context("b").idempotency_key
    assert ctx.idempotency_key == step_key(saga.pk, "b", Direction.BACK)
    assert ctx.result == {"by": "b"}
    assert ctx.results == play.context("b").results == {"a": {"by": "a"}}
    assert ctx.input == play.context("b").input
    assert ctx.attempt == 1


def test_it_is_not_told_of_what_came_after_its_action(define, play):
    definition = define(Parallel(step("a"), step("b")), step("c"), step("d"))
    for name in "abc":
        play.always(name, {"by": name})
    play.says("d", NO)
    run_saga(definition, {})
    assert play.context("undo a").results == play.context("undo b").results == {}


def test_it_is_told_the_same_when_another_worker_goes_on(define, play):
    definition = define(step("a"), step("b", undo_retry=STEADY), step("c"))
    play.always("a", {"n": 1})
    play.always("b", {"n": 2})
    play.says("undo b", RetryLater("busy"))
    play.says("c", NO)
    run_saga(definition, {})
    advance(MINUTE)

    first, again = play.contexts["undo b"]
    assert (again.attempt, first.attempt) == (2, 1)
    for name in ("result", "results", "undoes", "idempotency_key", "input"):
        assert getattr(first, name) == getattr(again, name)


def test_what_may_have_happened_is_undone_without_its_result(define, play):
    definition = define(step("a"), step("b", retry=ONCE))
    play.always("a", {"n": 1})
    play.says("b", LOST)
    saga = run_saga(definition, {})

    assert play.calls == ["a", "b", "undo b", "undo a"]
    assert play.context("undo b").result is None
    assert play.context("undo b").undoes == play.context("b").idempotency_key
    assert saga.status == "compensated"


@pytest.mark.parametrize("last_word", [NO, RetryLater("busy"), LOST])
def test_a_doubt_outlives_whatever_later_attempts_say(define, play, last_word):
    definition = define(step("b", retry=RetryPolicy(attempts=2, jitter=0)))
    play.says("b", LOST, last_word)
    saga = run_saga(definition, {})
    advance(MINUTE)

    saga.refresh_from_db()
    assert play.calls == ["b", "b", "undo b"]
    assert statuses(saga) == {"b": "compensated"}
    assert saga.status == "compensated"


def test_what_surely_did_not_happen_is_not_undone(define, play):
    definition = define(step("a", retry=RetryPolicy(attempts=2, jitter=0)))
    play.always("a", RetryLater("busy"))
    saga = run_saga(definition, {})
    advance(MINUTE)
    saga.refresh_from_db()
    assert play.calls == ["a", "a"]
    assert (saga.status, statuses(saga)) == ("compensated", {"a": "failed"})


def test_the_way_back_passes_by_what_has_no_compensation(define, play):
    definition = define(
        step("a"),
        step("look", read_only=True),
        step("mail", irrevocable="a mail cannot be unsent"),
        step("peek", read_only=True, retry=ONCE),
    )
    play.says("peek", LOST)
    saga = run_saga(definition, {})

    assert play.calls == ["a", "look", "mail", "peek", "undo a"]
    assert saga.status == "compensated"
    assert statuses(saga) == {
        "a": "compensated",
        "look": "completed",
        "mail": "completed",
        "peek": "failed",
    }


def test_a_mail_that_may_be_out_is_passed_by(define, play):
    definition = define(step("a"), step("mail", irrevocable="a mail cannot be unsent", retry=ONCE))
    play.says("mail", LOST)
    saga = run_saga(definition, {})
    assert (saga.status, statuses(saga)["mail"]) == ("compensated", "unknown")


def test_compensations_are_tried_again_as_their_own_policy_says(define, play):
    definition = define(step("a", retry=ONCE, undo_retry=STEADY), step("b"))
    play.says("undo a", RetryLater("busy"), LOST)
    play.says("b", NO)
    saga = run_saga(definition, {})
    assert play.calls.count("undo a") == 1
    assert saga.status == "compensating"
    assert saga.held_by is None

    advance(9 * SECOND)
    assert play.calls.count("undo a") == 1
    advance(2 * SECOND)
    assert play.calls.count("undo a") == 2
    advance(11 * SECOND)
    saga.refresh_from_db()
    assert play.calls.count("undo a") == 3
    assert saga.status == "compensated"
    assert len({ctx.idempotency_key for ctx in play.contexts["undo a"]}) == 1


def test_a_compensation_can_say_when_to_come_back(define, play):
    definition = define(step("a", undo_retry=STEADY), step("b"))
    play.says("undo a", RetryLater("closed", delay=HOUR))
    play.says("b", NO)
    saga = run_saga(definition, {})
    advance(HOUR - SECOND)
    assert play.calls.count("undo a") == 1
    advance(2 * SECOND)
    saga.refresh_from_db()
    assert saga.status == "compensated"


def test_by_default_compensations_are_tried_for_a_day(define, play):
    definition = define(step("a"), step("b"))
    play.always("undo a", LOST)
    play.says("b", NO)
    saga = run_saga(definition, {})
    advance(23 * HOUR)
    saga.refresh_from_db()
    assert saga.status == "compensating"
    advance(2 * HOUR)
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("failed", "compensation_failed")
    # 8 attempts until the wait is 15 minutes and more, then at most 4 an hour.
    assert 80 < play.calls.count("undo a") <= 8 + 96


@pytest.mark.parametrize("answer", [NO, RetryLater("closed"), LOST])
def test_a_compensation_that_fails_stops_the_way_back(define, play, answer):
    definition = define(step("a"), step("b", undo_retry=STEADY), step("c"))
    play.always("undo b", answer)
    play.says("c", NO)
    saga = run_saga(definition, {})
    advance(MINUTE)

    saga.refresh_from_db()
    assert (saga.status, saga.attention, saga.direction) == ("failed", "compensation_failed", "back")
    assert statuses(saga) == {"a": "completed", "b": "compensation_failed", "c": "failed"}
    assert play.calls.count("undo b") == (1 if answer is NO else 3)
    assert "undo a" not in play.calls
    assert (saga.due_at, saga.held_by, saga.ended_at) == (None, None, None)


def test_its_siblings_are_awaited_and_no_more(define, play, hand):
    definition = define(step("a"), Parallel(step("b"), step("c")), step("d"))
    play.says("d", NO)
    play.says("undo b", NO)
    saga = start(definition, {})
    attempts = hand.take()
    while attempts[0].direction is Direction.FORWARD:
        attempts = hand.settle(*hand.call(attempts)).attempts

    undo_b, undo_c = sorted(attempts, key=lambda attempt: attempt.step.name)
    assert hand.settle(*hand.call([undo_b])).attempts == []
    saga.refresh_from_db()
    assert saga.status == "compensating"
    assert hand.settle(*hand.call([undo_c])).attempts == []
    saga.refresh_from_db()
    assert saga.status == "failed"
    assert statuses(saga)["c"] == "compensated"


def test_the_story_of_a_way_back(define, play):
    definition = define(step("a"), step("b"))
    play.says("b", NO)
    saga = run_saga(definition, {})
    assert [(each.kind, each.from_status, each.to_status) for each in history(saga)] == [
        ("status", "pending", "running"),
        ("attempt", "", ""),
        ("status", "running", "compensating"),
        ("status", "compensating", "compensated"),
    ]
