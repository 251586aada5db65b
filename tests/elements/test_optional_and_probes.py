"""Steps a saga can do without, and steps that can be asked what became of them."""

from __future__ import annotations

from typing import Any

import pytest

from sagas import OutcomeUnknown, PermanentFailure
from sagas.testing import advance, run_saga
from tests.samples import BANK, HOUR, MINUTE, ONCE, STEADY, statuses, step

pytestmark = pytest.mark.django_db

LOST = OutcomeUnknown("no answer")


def test_an_optional_step_that_did_not_happen_is_skipped(define, play):
    play.says("gift", PermanentFailure("sold out"))
    saga = run_saga(define(step("a"), step("gift", optional=True), step("c")), {})
    assert (saga.status, play.calls) == ("completed", ["a", "gift", "c"])
    assert statuses(saga)["gift"] == "skipped"


def test_one_that_may_have_happened_is_undone_first(define, play):
    play.always("gift", LOST)
    saga = run_saga(
        define(step("a"), step("gift", optional=True, retry=ONCE, participant=BANK), step("c")), {}
    )
    assert (saga.status, play.calls) == ("running", ["a", "gift"])  # It may still land.
    advance(2 * MINUTE)
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("completed", ["a", "gift", "undo gift", "c"])
    assert statuses(saga)["gift"] == "compensated"


def test_one_that_cannot_be_undone_halts_the_saga(define, play):
    play.always("gift", LOST)
    play.always("undo gift", PermanentFailure("shop closed"))
    saga = run_saga(define(step("gift", optional=True, retry=ONCE), step("c")), {})
    assert (saga.status, saga.attention, play.calls) == (
        "failed",
        "compensation_failed",
        ["gift", "undo gift"],
    )


def probed(answers, **options: Any):
    def probe(ctx):
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    given: dict[str, Any] = {"retry": STEADY, "probe": probe} | options
    return step("pay", participant=BANK, **given)


def test_a_probe_that_finds_the_effect_settles_it(define, play):
    play.says("pay", LOST)
    saga = run_saga(define(probed([{"reference": "r1"}]), step("tell")), {})
    advance(MINUTE)
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("completed", ["pay", "tell"])
    assert saga.steps.get(name="pay").result == {"reference": "r1"}


def test_that_nothing_happened_is_believed_when_it_cannot_happen_any_more(define, play):
    play.says("pay", LOST)
    answers = [None, None]
    saga = run_saga(define(probed(answers)), {})
    advance(30 * MINUTE / 60)
    assert (len(answers), play.calls) == (1, ["pay"])  # Asked too early: asked again later.
    advance(2 * MINUTE)
    saga.refresh_from_db()
    assert (saga.status, play.calls, answers) == ("completed", ["pay", "pay"], [])


def test_a_probe_that_cannot_tell_leaves_it_to_the_policy(define, play):
    play.says("pay", LOST, LOST)
    saga = run_saga(define(probed([LOST, LOST])), {})
    advance(HOUR / 2)
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("completed", ["pay", "pay", "pay"])


def test_it_is_asked_before_the_last_attempt_is_given_up(define, play):
    play.always("pay", LOST)
    saga = run_saga(define(probed([{"reference": "r1"}], retry=ONCE)), {})
    assert (saga.status, play.calls) == ("completed", ["pay"])


def test_a_pivot_that_is_probed_need_not_halt(define, play):
    play.always("pay", LOST)
    pivot = probed([LOST], retry=ONCE, pivot=True)
    saga = run_saga(define(step("a"), pivot), {})
    assert (saga.status, saga.attention) == ("failed", "unknown_outcome")


def test_templates_make_keys_once(define, play):
    play.says("reserve", {"batch": "b-1"})
    saga = run_saga(
        define(
            step("reserve"),
            step("pay", idempotency_key="pay:{reserve.batch}"),
            step("ship", idempotency_key="ship:{reserve.batch}", shared_key=True),
        ),
        {},
    )
    assert saga.status == "completed"
    assert play.context("pay").idempotency_key == f"pay:b-1:{saga.pk}:forward"
    assert play.context("ship").idempotency_key == "ship:b-1:forward"
    assert saga.steps.get(name="pay").undo_key == f"pay:b-1:{saga.pk}:back"
