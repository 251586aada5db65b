"""What a worker that died had in hand is taken over when its lease is over."""

from __future__ import annotations

from time import monotonic

import pytest

from sagas import Parallel, PermanentFailure, RetryLater, RetryPolicy, clock, start, start_many
from sagas.engine.errands import nudge
from sagas.engine.functions import unsent
from sagas.models import HistoryKind, Saga
from sagas.operations.performing import perform
from sagas.testing import advance, run_due
from tests.engine.hands import LEASE, Hand
from tests.samples import MINUTE, ONCE, SECOND, STEADY, history, statuses, step

pytestmark = pytest.mark.django_db


def test_a_saga_belongs_to_the_worker_that_claimed_it(define, hand):
    saga = start(define(step("pay")), {})
    hand.take()
    assert Hand().take() == []
    clock.shift(LEASE - SECOND)
    assert Hand().take() == []
    saga.refresh_from_db()
    assert (saga.held_by, saga.fence) == (hand.id, 1)


def test_until_its_lease_is_over(define, hand):
    saga = start(define(step("pay")), {})
    hand.take()
    clock.shift(LEASE + SECOND)
    successor = Hand()
    [attempt] = successor.take()

    saga.refresh_from_db()
    assert (saga.held_by, saga.fence, attempt.held.fence) == (successor.id, 2, 2)
    [entry] = history(saga, HistoryKind.TAKE_OVER)
    assert entry.data == {"from": str(hand.id), "fence": 1}


def test_the_attempt_that_was_lost_is_made_again_under_the_same_key(define, play, hand):
    definition = define(step("pay"))
    saga = start(definition, {})
    [lost] = hand.take()
    clock.shift(MINUTE)
    successor = Hand()
    [again] = successor.take()

    assert (again.number, again.idempotency_key) == (2, lost.idempotency_key)
    pay = saga.steps.get()
    assert (pay.attempts, pay.crashes, pay.in_doubt) == (2, 1, True)
    assert (pay.error_class, pay.error) == ("WorkerLost", "The worker died during pay, attempt 1.")
    successor.settle(*successor.call([again]))
    saga.refresh_from_db()
    assert (saga.status, saga.error) == ("completed", "")


def test_attempts_that_were_lost_are_not_what_the_retry_policy_counts(define, play, hand):
    definition = define(step("pay", retry=RetryPolicy(attempts=2, jitter=0)))
    saga = start(definition, {})
    for _ in range(4):
        hand.take()
        clock.shift(MINUTE)
    play.says("pay", RetryLater("busy"))
    run_due()
    advance(MINUTE)
    saga.refresh_from_db()
    assert saga.status == "completed"
    assert [ctx.attempt for ctx in play.contexts["pay"]] == [5, 6]


def test_a_lost_attempt_may_have_happened(define, play, hand):
    saga = start(define(step("pay")), {})
    hand.take()
    clock.shift(MINUTE)
    play.says("pay", PermanentFailure("no"))
    run_due()
    assert statuses(saga) == {"pay": "unknown"}
    advance(2 * MINUTE)
    assert play.calls == ["pay", "undo pay"]


def test_a_compensation_that_was_lost_is_made_again(define, play, hand):
    definition = define(step("pay"), step("send"))
    play.says("send", PermanentFailure("no"))
    saga = start(definition, {})
    attempts = hand.take()
    for _ in range(2):
        attempts = hand.settle(*hand.call(attempts)).attempts
    clock.shift(MINUTE)
    [again] = Hand().take()

    assert (again.number, again.idempotency_key) == (2, attempts[0].idempotency_key)
    pay = saga.steps.get(name="pay")
    assert (pay.status, pay.undo_attempts, pay.undo_crashes, pay.crashes) == ("compensating", 2, 1, 0)


def test_siblings_that_were_done_are_not_lost(define, hand):
    saga = start(define(Parallel(step("pay"), step("pack"))), {})
    pay, _ = hand.take()
    hand.settle(*hand.call([pay]))
    clock.shift(MINUTE)
    [again] = Hand().take()
    assert again.step.name == "pack"
    assert statuses(saga) == {"pay": "completed", "pack": "running"}
    assert saga.steps.get(name="pay").crashes == 0


def test_a_worker_that_is_late_but_was_not_replaced_still_counts(define, hand):
    saga = start(define(step("pay")), {})
    attempts = hand.take()
    clock.shift(LEASE + MINUTE)
    hand.settle(*hand.call(attempts))
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_a_settlement_renews_the_lease(define, hand):
    saga = start(define(step("pay"), step("send")), {})
    attempts = hand.take()
    clock.shift(LEASE - SECOND)
    hand.settle(*hand.call(attempts))
    clock.shift(LEASE - SECOND)
    assert Hand().take() == []
    saga.refresh_from_db()
    assert saga.held_by == hand.id


def test_whatever_is_told_a_saga_its_lease_stays_as_it_is(define):
    """A second worker would send its attempt in flight again."""
    saga = start(define(step("a")), {})
    hand = Hand()
    hand.take()
    saga.refresh_from_db()
    before = saga.due_at
    nudge({saga.pk})
    saga.refresh_from_db()
    assert (saga.due_at, saga.held_by) == (before, hand.id)
    assert Hand().take() == []


def test_a_saga_that_waits_is_held_by_nobody(define, play, hand):
    saga = start(define(step("pay", retry=STEADY)), {})
    play.says("pay", RetryLater("busy"))
    settlement = hand.settle(*hand.call(hand.take()))
    saga.refresh_from_db()
    assert saga.held_by is None
    assert settlement.let_go == {saga.pk}
    clock.shift(MINUTE)
    Hand().take()
    assert not history(saga, HistoryKind.TAKE_OVER)


def test_an_attempt_that_was_never_sent_does_not_count(define, play, hand):
    saga = start(define(step("pay", retry=ONCE)), {})
    [attempt] = hand.take()
    settlement = hand.settle(unsent(attempt), begin=False)

    saga.refresh_from_db()
    pay = saga.steps.get()
    assert (settlement.attempts, settlement.let_go) == ([], {saga.pk})
    assert (pay.status, pay.attempts, pay.crashes, pay.in_doubt) == ("waiting", 0, 0, False)
    assert saga.held_by is None
    assert not history(saga, HistoryKind.ATTEMPT)

    [again] = Hand().take()
    assert (again.number, again.idempotency_key) == (1, attempt.idempotency_key)


def test_nor_does_one_of_a_compensation(define, play, hand):
    definition = define(step("pay", undo_retry=ONCE), step("send"))
    play.says("send", PermanentFailure("no"))
    saga = start(definition, {})
    attempts = hand.take()
    for _ in range(2):
        attempts = hand.settle(*hand.call(attempts)).attempts
    hand.settle(unsent(attempts[0]), begin=False)

    pay = saga.steps.get(name="pay")
    assert (pay.status, pay.undo_attempts, pay.undo_crashes) == ("compensating", 0, 0)
    [again] = Hand().take()
    assert again.number == 1
    run = Hand()
    assert run.take() == []


def test_one_that_was_never_sent_is_not_undone(define, play, hand):
    saga = start(define(step("pay")), {})
    [attempt] = hand.take()
    hand.settle(unsent(attempt), begin=False)
    perform(saga.pk, "compensate", by=None)
    run_due()
    saga.refresh_from_db()
    assert play.calls == []
    assert saga.status == "compensated"


def test_without_a_beginning_everything_is_left_for_another_worker_now(define, hand):
    saga = start(define(step("pay"), step("send")), {})
    settlement = hand.settle(*hand.call(hand.take()), begin=False)
    assert settlement.attempts == []
    assert settlement.let_go == {saga.pk}
    [attempt] = Hand().take()
    assert attempt.step.name == "send"


def test_the_lease_is_measured_from_before_the_claim(define, hand):
    start(define(step("pay")), {})
    before = monotonic()
    [attempt] = hand.take()
    assert before <= attempt.held.lease_ends - LEASE.total_seconds() <= monotonic()


def test_the_oldest_are_taken_first_and_no_more_than_asked_for(define, hand):
    definition = define(step("pay"))
    sagas = []
    for _ in range(5):
        sagas.append(start(definition, {}))
        clock.shift(SECOND)
    claimed = hand.claim(limit=3)
    assert {attempt.held.id for attempt in claimed.attempts} == {saga.pk for saga in sagas[:3]}
    assert claimed.full
    assert not hand.claim(limit=3).full


def test_only_those_that_were_asked_for(define, hand):
    definition = define(step("pay"))
    first, second = start(definition, {}), start(definition, {})
    [attempt] = hand.take(only=[second.pk])
    assert attempt.held.id == second.pk
    first.refresh_from_db()
    assert first.status == "pending"


def test_an_attempt_is_marked_only_where_there_is_a_slot(define):
    definition = define(step("pay"))
    for _ in range(3):
        start(definition, {})
    hand = Hand(threads=2)
    claimed = hand.claim()
    assert len(claimed.attempts) == 2
    assert claimed.lacking == {False}  # Threads.
    assert Saga.objects.filter(status="pending", held_by=None, fence=0).count() == 1

    assert hand.take() == []
    assert hand.settle(*hand.call(claimed.attempts)).attempts == []
    assert len(hand.take()) == 1


def test_a_saga_goes_on_with_the_slot_that_it_has(define):
    start_many(define(step("pay"), step("ship")), [{}] * 3)
    hand = Hand(threads=2)
    outcomes = hand.call(hand.take())
    assert hand.take() == []  # Not even now that the calls have come back: else these would be let go.
    settlement = hand.settle(*outcomes)
    assert [attempt.step.name for attempt in settlement.attempts] == ["ship", "ship"]
    hand.settle(*hand.call(settlement.attempts))
    assert len(hand.take()) == 1
    assert set(Saga.objects.values_list("fence", flat=True)) == {1}


def test_threads_do_not_starve_the_loop_nor_the_other_way_round(define):
    start(define(Parallel(step("a"), step("b", asynchronous=True), step("c", asynchronous=True))), {})
    hand = Hand(threads=0, tasks=1)
    [attempt] = hand.take()
    assert attempt.step.name == "b"
    assert hand.slots.free == 0
