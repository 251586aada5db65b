"""Sleeps and conditions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sagas import Parallel, PermanentFailure, Sleep
from sagas.testing import advance, run_saga
from tests.samples import HOUR, MINUTE, STEADY, statuses, step

pytestmark = pytest.mark.django_db


def test_a_saga_sleeps(define, play):
    saga = run_saga(define(step("book"), Sleep(HOUR, name="rest"), step("tell")), {})
    assert statuses(saga) == {"book": "completed", "rest": "waiting", "tell": "pending"}
    advance(HOUR - MINUTE)
    assert play.calls == ["book"]
    advance(MINUTE)
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("completed", ["book", "tell"])


def test_until_a_time_that_is_computed_once(define, play):
    asked = []

    def tomorrow(ctx):
        asked.append(ctx.saga_id)
        return datetime.now(UTC) + timedelta(days=1)

    saga = run_saga(define(Sleep(until=tomorrow, name="rest")), {})
    advance(23 * HOUR)
    saga.refresh_from_db()
    assert saga.status == "running"
    advance(2 * HOUR)
    saga.refresh_from_db()
    assert (saga.status, asked) == ("completed", [saga.pk])


@pytest.mark.parametrize(("answer", "status", "calls"), [(True, "completed", ["b"]), (False, "skipped", [])])
def test_a_condition_is_asked_once(define, play, answer, status, calls):
    asked = []

    def when(ctx):
        asked.append(dict(ctx.results))
        return answer

    play.always("a", {"n": 1})
    if answer:
        play.says("b", ValueError("once more"))
    saga = run_saga(define(step("a"), step("b", when=when, retry=STEADY), step("c")), {})
    advance(HOUR)
    saga.refresh_from_db()
    assert (saga.status, asked) == ("completed", [{"a": {"n": 1}}])
    assert statuses(saga)["b"] == status
    assert play.calls == ["a", *calls, *calls, "c"]
    if answer:
        assert play.context("b").attempt == 2


def test_what_was_skipped_is_not_undone(define, play):
    play.says("c", PermanentFailure("no"))
    saga = run_saga(define(step("a"), step("b", when=lambda ctx: False), step("c")), {})
    assert (saga.status, play.calls) == ("compensated", ["a", "c", "undo a"])


def test_a_condition_that_raises_is_asked_again_and_given_up(define, play):
    asked = []

    def when(ctx):
        asked.append(ctx.attempt)
        raise ValueError("no database")

    saga = run_saga(define(step("a"), step("b", when=when, retry=STEADY)), {})
    advance(HOUR)
    saga.refresh_from_db()
    assert (saga.status, asked, play.calls) == ("compensated", [1, 2, 3], ["a", "undo a"])
    assert statuses(saga)["b"] == "failed"


def test_conditions_of_steps_side_by_side(define, play):
    saga = run_saga(define(Parallel(step("a", when=lambda ctx: True), step("b", when=lambda ctx: False))), {})
    assert (saga.status, statuses(saga)) == ("completed", {"a": "completed", "b": "skipped"})
