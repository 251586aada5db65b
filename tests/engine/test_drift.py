"""Code changes under running sagas: what it no longer has halts them, and what it does not have yet waits."""

from __future__ import annotations

import pytest

from sagas import PermanentFailure, RetryLater, clock, start
from sagas.definitions import registry
from sagas.operations.performing import perform
from sagas.testing import advance, run_due, run_saga
from tests.engine.hands import Hand
from tests.samples import MINUTE, STEADY, statuses, step

pytestmark = pytest.mark.django_db

BUSY = RetryLater("busy")


def test_a_saga_whose_steps_are_gone_is_halted(define, play):
    play.says("pay", BUSY)
    saga = run_saga(define(step("book"), step("pay", retry=STEADY)), {})
    define(step("book"), version=2)
    advance(MINUTE)

    saga.refresh_from_db()
    assert (saga.status, saga.attention, saga.direction) == ("failed", "definition_drift", "forward")
    assert saga.error == (
        f"{saga} has the steps pay, which version 2 of samples.trip no longer has, or no longer undoes. "
        "Deploy code that does."
    )
    assert play.calls == ["book", "pay"]


def test_also_when_the_step_was_at_work_as_its_worker_died(define, play, hand):
    saga = start(define(step("book"), step("pay")), {})
    hand.settle(*hand.call(hand.take()))
    define(step("book"), version=2)
    clock.shift(MINUTE)
    assert Hand().take() == []

    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("failed", "definition_drift")
    assert statuses(saga) == {"book": "completed", "pay": "waiting"}
    assert saga.steps.get(name="pay").in_doubt


def test_and_goes_on_when_the_code_has_them_again(define, play):
    play.says("pay", BUSY)
    saga = run_saga(define(step("book"), step("pay", retry=STEADY)), {})
    define(step("book"), version=2)
    advance(MINUTE)
    define(step("book"), step("pay", retry=STEADY), version=3)

    perform(saga.pk, "retry", by=None)
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"
    assert play.calls == ["book", "pay", "pay"]


def test_a_saga_runs_the_steps_it_was_born_with(define, play):
    play.says("book", BUSY)
    saga = run_saga(define(step("book", retry=STEADY), step("pay")), {})
    define(step("look"), step("book", retry=STEADY), step("pay"), step("tell"), version=2)
    advance(MINUTE)

    saga.refresh_from_db()
    assert saga.status == "completed"
    assert play.calls == ["book", "book", "pay"]


def test_a_step_that_moved_runs_where_the_code_has_it_now(define, play):
    play.says("book", BUSY)
    run_saga(define(step("book", retry=STEADY), step("pay"), step("send")), {})
    define(step("book", retry=STEADY), step("send"), step("pay"), version=2)
    advance(MINUTE)
    assert play.calls == ["book", "book", "send", "pay"]


def test_a_saga_of_a_newer_version_waits_for_newer_code(define, play):
    saga = start(define(step("book"), step("pay"), version=2), {})
    define(step("book"), version=1)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.held_by, play.calls) == ("pending", None, [])

    define(step("book"), step("pay"), version=2)
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_a_saga_that_no_code_knows_waits(define, play):
    definition = define(step("book"))
    saga = start(definition, {})
    registry.remove(definition)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("pending", [])


def test_others_are_not_held_up_by_it(define, play):
    stranger = define(step("book"), name="samples.stranger")
    for _ in range(5):
        start(stranger, {})
    registry.remove(stranger)
    saga = start(define(step("pay")), {})
    Hand().claim(limit=1)
    saga.refresh_from_db()
    assert saga.status == "running"


def test_a_saga_in_the_middle_of_a_compensation_that_is_gone_is_halted(define, play):
    play.says("pay", PermanentFailure("no"))
    play.says("undo book", BUSY)
    saga = run_saga(define(step("book", undo_retry=STEADY), step("pay")), {})
    define(step("book", irrevocable="the operator closed"), step("pay"), version=2)
    advance(MINUTE)
    saga.refresh_from_db()
    assert statuses(saga) == {"book": "compensating", "pay": "failed"}
    assert (saga.status, saga.attention) == ("failed", "definition_drift")
