"""Trying again: what failed, under its old key, while that is safe."""

from __future__ import annotations

from typing import Any

import pytest

from sagas import HALT, RetryPolicy, StepContext, clock
from sagas.exceptions import OperationRefused
from sagas.models import Saga
from sagas.operations.performing import perform
from sagas.testing import advance, run_due, run_saga
from tests.operations import situations
from tests.operations.situations import BUSY, LOST, NO
from tests.samples import BANK, HOUR, MINUTE, ONCE, statuses, step

pytestmark = pytest.mark.django_db


def test_a_failed_saga_goes_on(define, play):
    saga = situations.exhausted(define, play)
    assert (saga.status, saga.failed_step) == ("failed", "pay")
    perform(saga.pk, "retry", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention, saga.error, saga.failed_step) == ("completed", "", "", "")
    assert play.calls == ["book", "pay", "pay"]


def test_under_the_same_key(define, play):
    saga = situations.exhausted(define, play)
    perform(saga.pk, "retry", by=None)
    run_due()
    first, second = play.contexts["pay"]
    assert (first.idempotency_key, second.attempt) == (second.idempotency_key, 2)


def test_it_grants_another_round_of_attempts(define, play):
    twice = RetryPolicy(attempts=2, jitter=0)
    play.always("pay", BUSY)
    saga = run_saga(define(step("pay", retry=twice), on_exhausted=HALT), {})
    advance(MINUTE)
    for attempts in (2, 4, 6):
        saga.refresh_from_db()
        assert (saga.status, saga.attention) == ("failed", "step_exhausted")
        assert play.calls == ["pay"] * attempts
        perform(saga.pk, "retry", by=None)
        run_due()
        advance(MINUTE)


def test_past_the_pivot_too(define, play):
    saga = situations.failed_past_its_pivot(define, play)
    perform(saga.pk, "retry", by=None)
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_an_attempt_that_is_due_later_is_made_now(define, play):
    saga = situations.between_attempts(define, play)
    perform(saga.pk, "retry", by=None)
    run_due()
    assert play.calls.count("pay") == 2
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_so_is_one_of_a_compensation(define, play):
    saga = situations.on_the_way_back(define, play)
    perform(saga.pk, "retry", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls.count("undo book")) == ("compensated", 2)


def test_a_compensation_that_failed_is_tried_again(define, play):
    saga = situations.failed_on_the_way_back(define, play)
    perform(saga.pk, "retry", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("compensated", "")
    first, second = play.contexts["undo book"]
    assert (second.attempt, second.idempotency_key) == (2, first.idempotency_key)


def test_what_failed_on_the_way_there_is_not_tried_again_on_the_way_back(define, play):
    saga = situations.failed_on_the_way_back(define, play)
    perform(saga.pk, "retry", by=None)
    run_due()
    assert play.calls == ["book", "pay", "undo book", "undo book"]
    assert statuses(saga)["pay"] == "failed"


def test_a_key_that_may_be_forgotten_is_not_sent_again(define, play):
    play.says("pay", LOST)
    saga = run_saga(define(step("pay", participant=BANK, retry=ONCE, pivot=True)), {})
    assert saga.attention == "unknown_outcome"
    clock.shift(HOUR)
    with pytest.raises(OperationRefused) as refusal:
        perform(saga.pk, "retry", by=None)
    assert refusal.value.code == "key_expired"
    assert str(refusal.value) == (
        f"Retry was refused for {saga}: step pay may have taken effect, and bank may no longer know its "
        "idempotency key, so that sending it again could double the effect. Find out what happened first."
    )


def refusal_of_retry(saga: Saga) -> OperationRefused:
    with pytest.raises(OperationRefused) as refusal:
        perform(saga.pk, "retry", by=None)
    return refusal.value


def found_out(ctx: StepContext) -> None:
    """A probe: it asks about the action, and says nothing of its compensation."""


@pytest.mark.parametrize("options", [{}, {"probe": found_out}])
def test_nor_that_of_a_compensation(define, play, options):
    play.says("undo pay", NO)
    play.says("send", NO)
    saga = run_saga(define(step("pay", participant=BANK, **options), step("send")), {})
    clock.shift(HOUR)
    assert refusal_of_retry(saga).code == "key_expired"


def test_nor_that_of_an_optional_step_which_is_undone_on_the_way_forward(define, play):
    play.says("pay", LOST)
    play.says("undo pay", NO)
    saga = run_saga(define(step("pay", participant=BANK, retry=ONCE, optional=True), step("send")), {})
    advance(HOUR)  # It is undone once its call can land no more.
    saga.refresh_from_db()
    assert (saga.status, saga.attention, saga.direction) == ("failed", "compensation_failed", "forward")
    clock.shift(HOUR)
    assert refusal_of_retry(saga).code == "key_expired"


def test_that_of_a_compensation_is_counted_from_its_own_first_attempt(define, play):
    play.says("pay", LOST)
    play.says("undo pay", NO)
    saga = run_saga(define(step("pay", participant=BANK, retry=ONCE, optional=True), step("send")), {})
    advance(2 * MINUTE)
    clock.shift(HOUR - 1.5 * MINUTE)  # The action was sent for the first time more than an hour ago.
    perform(saga.pk, "retry", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("completed", ["pay", "undo pay", "undo pay", "send"])


def test_an_action_that_may_have_happened_is_probed_again_however_late(define, play):
    answers: list[Any] = [LOST, LOST, {"reference": "r1"}]

    def probe(ctx: StepContext) -> Any:
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return answer

    play.always("pay", LOST)
    definition = define(step("pay", participant=BANK, retry=ONCE, probe=probe, pivot=True))
    saga = run_saga(definition, {})
    assert saga.attention == "unknown_outcome"
    for _ in range(2):
        clock.shift(2 * HOUR)
        perform(saga.pk, "retry", by=None)
        run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls, answers) == ("completed", ["pay"], [])


def test_within_its_time_it_is(define, play):
    play.says("pay", LOST)
    saga = run_saga(define(step("pay", participant=BANK, retry=ONCE, pivot=True)), {})
    clock.shift(HOUR - MINUTE)
    perform(saga.pk, "retry", by=None)
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_a_refused_action_may_be_sent_again_at_any_time(define, play):
    play.says("tell", NO)
    definition = define(step("send", pivot=True), step("tell", undo=False, participant=BANK))
    saga = run_saga(definition, {})
    clock.shift(100 * HOUR)
    perform(saga.pk, "retry", by=None)
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"
