"""A step that kills its worker is found out, without those that were in hand beside it paying for it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagas import PermanentFailure, clock, start, start_many
from sagas.conf import saga_settings
from sagas.engine.takeover import batch_size, lone_crashes
from sagas.models import Saga, SagaStep
from sagas.operations.performing import perform
from sagas.states import AT_WORK
from sagas.testing import run_due
from tests.engine.hands import Hand
from tests.samples import MINUTE, statuses, step

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [
        (250, [250, 62, 15, 3, 1, 1]),  # ÷ 4 per crash
        (100, [100, 25, 6, 1, 1]),
        (4, [4, 1, 1]),
        (1, [1, 1]),
    ],
)
def test_hands_shrink_with_every_crash_until_a_saga_is_alone(limit, sizes):
    assert [batch_size(crashes, limit=limit) for crashes in range(len(sizes))] == sizes
    assert batch_size(10**6, limit=limit) == 1


@pytest.mark.parametrize(
    ("limit", "crashes", "alone"),
    [
        (250, 0, 0),
        (250, 4, 0),
        (250, 5, 1),
        (250, 7, 3),
        (4, 1, 0),
        (4, 2, 1),
        (1, 0, 0),
        (1, 1, 1),
        (1, 3, 3),
    ],
)
def test_only_crashes_while_alone_accuse(limit, crashes, alone):
    assert lone_crashes(crashes, limit=limit) == alone


@pytest.fixture
def batch(settings):
    """Hands of at most 16 sagas: 16, then 4, then 1."""
    settings.SAGAS = settings.SAGAS | {"BATCH": 16, "CRASH_LIMIT": 3}
    assert saga_settings().batch == 16


def test_sagas_that_were_in_hand_when_a_worker_died_are_taken_apart(define, batch):
    start_many(define(step("pay")), [{}] * 16)
    assert len(Hand().take()) == 16
    clock.shift(MINUTE)
    fresh = start(define(step("pay")), {})

    claimed = Hand().claim()
    assert len(claimed.attempts) == 4
    assert claimed.apart
    fresh.refresh_from_db()
    assert fresh.status == "pending"


def test_a_worker_with_other_sagas_in_hand_leaves_them_alone(define, batch):
    definition = define(step("pay"))
    suspects = start_many(definition, [{}] * 2)
    Hand().take()
    clock.shift(MINUTE)
    fresh = start(definition, {})

    claimed = Hand().claim(alone=False)
    assert [attempt.held.id for attempt in claimed.attempts] == [fresh.pk]
    assert claimed.apart
    assert Saga.objects.filter(pk__in=[saga.pk for saga in suspects], fence=1).count() == 2


def test_the_one_that_kills_is_parked_and_its_neighbours_are_not(define, play, batch):
    definition = define(step("pay"))
    sagas = start_many(definition, [{}] * 20)
    poison = sagas[7]
    for _ in range(100):
        hand = Hand()
        attempts = hand.take(limit=16)
        if poison.pk in {attempt.held.id for attempt in attempts}:
            clock.shift(MINUTE)
        else:
            hand.settle(*hand.call(attempts))
        if not Saga.objects.filter(status__in=AT_WORK).exists():
            break
    else:
        pytest.fail("The sagas are still going round.")

    poison.refresh_from_db()
    assert (poison.status, poison.attention) == ("failed", "crash_loop")
    assert (poison.error_class, statuses(poison)) == ("WorkerLost", {"pay": "waiting"})
    assert Saga.objects.filter(status="completed").count() == 19
    # 2 in company, of 16 and of 4, and 3 alone.
    assert SagaStep.objects.get(saga=poison).crashes == 5


def test_a_compensation_that_kills_is_parked_too(define, play, batch):
    definition = define(step("pay"), step("send"))
    play.says("send", PermanentFailure("no"))
    saga = start(definition, {})
    hand = Hand()
    attempts = hand.take()
    for _ in range(2):
        attempts = hand.settle(*hand.call(attempts)).attempts
    for _ in range(5):
        clock.shift(MINUTE)
        Hand().take()
    saga.refresh_from_db()
    assert (saga.status, saga.attention, saga.direction) == ("failed", "crash_loop", "back")
    assert saga.steps.get(name="pay").undo_crashes == 5


def test_the_testing_kit_goes_on_past_a_saga_that_is_parked(define, play, batch):
    definition = define(step("pay"))
    poison = start(definition, {})
    for _ in range(5):
        Hand().take()
        clock.shift(MINUTE)
    fresh = start(definition, {})
    run_due()
    poison.refresh_from_db()
    fresh.refresh_from_db()
    assert (poison.attention, fresh.status) == ("crash_loop", "completed")


def test_a_step_that_recovers_leaves_no_suspicion_on_those_after_it(define, play, batch):
    definition = define(step("pay"), step("send"))
    start(definition, {})
    Hand().take()
    clock.shift(MINUTE)
    hand = Hand()
    [pay] = hand.take()
    [send] = hand.settle(*hand.call([pay])).attempts
    assert send.step.name == "send"
    hand.settle(*hand.call([send]), begin=False)
    assert not Hand().claim().apart


def test_a_person_may_try_a_parked_saga_again(define, play, batch):
    saga = start(define(step("pay")), {})
    for _ in range(6):
        Hand().take()
        clock.shift(MINUTE)
    run_due()
    saga.refresh_from_db()
    assert saga.attention == "crash_loop"

    perform(saga.pk, "retry", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("completed", "")


def test_or_turn_it_back(define, play, batch):
    saga = start(define(step("pay")), {})
    for _ in range(6):
        Hand().take()
        clock.shift(MINUTE)
    run_due()
    perform(saga.pk, "compensate", by=None)
    clock.shift(timedelta(minutes=5))
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", ["undo pay"])
