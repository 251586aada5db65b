"""Sending again has an end: a participant that may have forgotten a key would take it for a new request."""

from __future__ import annotations

import pytest

from sagas import (
    NEVER,
    OutcomeUnknown,
    Participant,
    PermanentFailure,
    RetryLater,
    RetryPolicy,
    StepContext,
    clock,
    start,
)
from sagas.operations.performing import perform
from sagas.testing import advance, run_due, run_saga
from tests.engine.hands import Hand
from tests.samples import BANK, HOUR, MINUTE, ONCE, SECOND, STEADY, statuses, step

pytestmark = pytest.mark.django_db

LOST = OutcomeUnknown("no answer")
SLOW = RetryPolicy(attempts=10, first_delay=2 * HOUR, max_delay=2 * HOUR, jitter=0)


def test_within_the_window_a_key_is_sent_again(define, play):
    definition = define(
        step("pay", participant=BANK, retry=RetryPolicy(first_delay=50 * MINUTE, max_delay=HOUR))
    )
    play.says("pay", LOST)
    saga = run_saga(definition, {})
    advance(HOUR + SECOND)
    saga.refresh_from_db()
    assert play.calls == ["pay", "pay"]
    assert saga.status == "completed"


def wait_for_the_next_attempt(saga, **rest: object) -> None:
    advance(3 * HOUR)


def suspend_and_resume(saga, **rest: object) -> None:
    perform(saga.pk, "suspend", by=None)
    advance(3 * HOUR)
    perform(saga.pk, "resume", by=None)
    run_due()


def find_no_worker(saga, **rest: object) -> None:
    clock.shift(3 * HOUR)
    run_due()


@pytest.mark.parametrize("how", [wait_for_the_next_attempt, suspend_and_resume, find_no_worker])
def test_beyond_it_an_action_that_may_have_happened_waits_for_a_person(define, play, how):
    definition = define(
        step("book"),
        step("pay", participant=BANK, retry=SLOW if how is wait_for_the_next_attempt else STEADY),
    )
    play.says("pay", LOST)
    saga = run_saga(definition, {})
    how(saga)

    saga.refresh_from_db()
    assert play.calls == ["book", "pay"]
    assert (saga.status, saga.attention, saga.direction) == ("failed", "unknown_outcome", "forward")
    assert statuses(saga) == {"book": "completed", "pay": "unknown"}


@pytest.mark.parametrize("how", [wait_for_the_next_attempt, suspend_and_resume, find_no_worker])
def test_beyond_it_a_compensation_that_may_have_happened_waits_for_a_person(define, play, how):
    definition = define(
        step("pay", participant=BANK, undo_retry=SLOW if how is wait_for_the_next_attempt else STEADY),
        step("send"),
    )
    play.says("undo pay", LOST)
    play.says("send", PermanentFailure("no"))
    saga = run_saga(definition, {})
    how(saga)

    saga.refresh_from_db()
    assert play.calls == ["pay", "send", "undo pay"]
    assert (saga.status, saga.attention) == ("failed", "compensation_failed")


def cannot_tell(ctx: StepContext) -> None:
    """A probe: it asks about the action, and says nothing of its compensation."""
    raise LOST


@pytest.mark.parametrize("options", [{"probe": cannot_tell}, {"optional": True}])
def test_so_does_that_of_an_action_whose_own_outcome_is_not_known(define, play, options):
    definition = define(step("pay", participant=BANK, retry=ONCE, undo_retry=SLOW, **options), step("send"))
    play.says("pay", LOST)
    play.says("undo pay", LOST)
    saga = run_saga(definition, {})
    for _ in range(3):  # Until its call can land no more, for the compensation, for what it was not told.
        advance(3 * HOUR)

    saga.refresh_from_db()
    assert play.calls == ["pay", "undo pay"]
    assert (saga.status, saga.attention) == ("failed", "compensation_failed")


def test_a_compensation_in_doubt_stays_so_whatever_its_later_attempts_say(define, play):
    often = RetryPolicy(attempts=10, first_delay=50 * MINUTE, max_delay=HOUR, factor=1, jitter=0)
    definition = define(step("pay", participant=BANK, undo_retry=often), step("send"))
    play.says("undo pay", LOST, RetryLater("busy"))
    play.says("send", PermanentFailure("no"))
    saga = run_saga(definition, {})
    advance(3 * HOUR)

    saga.refresh_from_db()
    assert play.calls == ["pay", "send", "undo pay", "undo pay"]
    assert (saga.status, saga.attention) == ("failed", "compensation_failed")


def test_an_action_that_surely_reached_nothing_may_go_out_at_any_time(define, play):
    definition = define(step("pay", participant=BANK, retry=SLOW))
    play.says("pay", RetryLater("busy"))
    saga = run_saga(definition, {})
    advance(3 * HOUR)
    saga.refresh_from_db()
    assert play.calls == ["pay", "pay"]
    assert saga.status == "completed"


def test_so_may_one_that_only_looks(define, play):
    definition = define(step("look", participant=BANK, retry=SLOW, read_only=True))
    play.says("look", LOST)
    saga = run_saga(definition, {})
    advance(3 * HOUR)
    saga.refresh_from_db()
    assert play.calls == ["look", "look"]
    assert saga.status == "completed"


def test_a_participant_that_knows_no_keys_is_asked_once(define, play):
    definition = define(step("pay", participant=Participant("till", resend=NEVER), retry=STEADY))
    play.says("pay", LOST)
    saga = run_saga(definition, {})
    assert play.calls == ["pay"]
    assert (saga.status, saga.attention) == ("failed", "unknown_outcome")


def test_also_when_its_worker_died(define, play, hand):
    definition = define(step("pay", participant=Participant("till", resend=NEVER), retry=STEADY))
    saga = start(definition, {})
    hand.take()
    clock.shift(MINUTE)
    assert Hand().take() == []
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("failed", "unknown_outcome")
    assert statuses(saga) == {"pay": "unknown"}


def test_a_step_that_is_wanted_back_beyond_the_window_is_undone_under_another_key(define, play):
    definition = define(step("pay", participant=BANK, retry=SLOW))
    play.says("pay", LOST)
    saga = run_saga(definition, {})
    advance(3 * HOUR)
    perform(saga.pk, "compensate", by=None)
    run_due()
    saga.refresh_from_db()
    assert play.calls == ["pay", "undo pay"]
    assert saga.status == "compensated"
