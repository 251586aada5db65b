"""A call whose answer never came may still land: nothing is undone before it can no longer."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic

import pytest

from sagas import OutcomeUnknown, PermanentFailure, RetryLater, RetryPolicy, clock, start
from sagas.clock import database_now
from sagas.engine.functions import raised
from sagas.engine.heartbeat import renew
from sagas.models import Saga
from sagas.testing import advance, run_saga
from tests.engine.hands import LEASE, Hand
from tests.samples import BANK, MINUTE, ONCE, SECOND, step

pytestmark = pytest.mark.django_db

NO = PermanentFailure("no")
LOST = OutcomeUnknown("no answer")
TWICE = RetryPolicy(attempts=2, first_delay=40 * SECOND, jitter=0)


def undone_after(play, wait: timedelta) -> None:
    """Assert that the compensation is sent when the wait is over, and not before."""
    advance(wait - SECOND)
    assert "undo pay" not in play.calls
    advance(2 * SECOND)
    assert play.calls[-1] == "undo pay"


def test_an_unanswered_call_to_a_participant_is_waited_for(define, play):
    play.says("pay", LOST)
    saga = run_saga(define(step("pay", participant=BANK, retry=ONCE)), {})
    assert saga.status == "compensating"
    assert saga.held_by is None
    undone_after(play, MINUTE)
    saga.refresh_from_db()
    assert saga.status == "compensated"


def test_its_time_counts_from_the_last_send(define, play):
    play.says("pay", LOST, LOST)
    run_saga(define(step("pay", participant=BANK, retry=TWICE)), {})
    advance(41 * SECOND)
    assert play.calls == ["pay"] * 2
    undone_after(play, MINUTE - SECOND)


@pytest.mark.parametrize("last_word", [NO, RetryLater("busy")])
def test_what_later_attempts_say_does_not_shorten_it(define, play, last_word):
    play.says("pay", LOST, last_word)
    run_saga(define(step("pay", participant=BANK, retry=TWICE)), {})
    advance(41 * SECOND)
    assert play.calls == ["pay"] * 2
    undone_after(play, 19 * SECOND)  # 60 - 41


def test_a_step_without_participant_that_raised_has_ended(define, play):
    play.says("pay", LOST)
    saga = run_saga(define(step("pay", retry=ONCE)), {})
    assert play.calls == ["pay", "undo pay"]
    assert saga.status == "compensated"


def test_a_step_without_participant_that_timed_out_has_not(define, play, hand):
    definition = define(step("pay", timeout=20 * SECOND, retry=ONCE))
    saga = start(definition, {})
    [attempt] = hand.take()
    hand.settle(raised(attempt, LOST, sent=monotonic(), ended=False))

    saga.refresh_from_db()
    assert saga.status == "compensating"
    undone_after(play, 50 * SECOND)  # its time-out and 30 seconds on the wire


def test_nor_does_a_second_attempt_that_ended_shorten_the_wait_for_the_first(define, play, hand):
    definition = define(
        step("pay", timeout=20 * SECOND, retry=RetryPolicy(attempts=2, first_delay=SECOND, jitter=0))
    )
    start(definition, {})
    [attempt] = hand.take()
    hand.settle(raised(attempt, LOST, sent=monotonic(), ended=False))
    play.says("pay", LOST)
    advance(2 * SECOND)
    assert play.calls == ["pay"]
    undone_after(play, 48 * SECOND)


def test_a_call_that_went_down_with_its_worker_is_waited_for_from_the_end_of_its_lease(define, play, hand):
    definition = define(step("pay", participant=BANK, retry=ONCE))
    start(definition, {})
    hand.take()
    clock.shift(LEASE + SECOND)
    play.says("pay", NO)
    successor = Hand()
    successor.settle(*successor.call(successor.take()))

    assert play.calls == ["pay"]
    undone_after(play, MINUTE - SECOND)  # lease and time on the wire, of which lease and a second are over


def test_also_when_its_lease_was_renewed_before_it_went_out(define, play, hand):
    definition = define(step("pay", participant=BANK, retry=ONCE))
    start(definition, {})
    [attempt] = hand.take()
    attempt.held.renewable_until = monotonic() + 60
    clock.shift(20 * SECOND)
    renew(hand.id, [attempt.held], lease=LEASE)
    clock.shift(LEASE + SECOND)
    play.says("pay", NO)
    successor = Hand()
    successor.settle(*successor.call(successor.take()))

    # It may have waited for a thread, and gone out in the last moment of the lease, a second ago.
    undone_after(play, MINUTE - SECOND)


def test_until_then_the_saga_is_due_no_earlier(define, play):
    play.says("pay", LOST)
    saga = run_saga(define(step("pay", participant=BANK, retry=ONCE)), {})
    assert saga.due_at is not None
    left = saga.due_at - database_now(Saga.objects.db)
    assert 58 * SECOND < left < 61 * SECOND


def test_other_steps_are_undone_meanwhile_only_where_the_order_lets_them(define, play):
    definition = define(step("book"), step("pay", participant=BANK, retry=ONCE))
    play.says("pay", LOST)
    run_saga(definition, {})
    assert play.calls == ["book", "pay"]
    advance(MINUTE + SECOND)
    assert play.calls == ["book", "pay", "undo pay", "undo book"]
