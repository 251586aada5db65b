"""Sync attempts that wait for a thread: when they may, and what becomes of them."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from sagas import start_many
from sagas.engine.slots import Slots
from sagas.engine.tempo import MOST_AHEAD, Pace
from sagas.models import Saga, SagaStep
from sagas.states import Direction
from tests.engine.runs import run, sleeping
from tests.samples import step

FORWARD = Direction.FORWARD


@pytest.mark.parametrize(
    ("seconds", "ahead"),
    [
        (0.0001, MOST_AHEAD),  # 50 ms hold 500 such calls: more than may wait.
        (0.01, 4),  # 50 ms hold five, of which one runs.
        (0.05, 0),
        (2.0, 0),
    ],
)
def test_as_many_wait_for_a_thread_as_it_takes_in_a_moment(seconds, ahead):
    pace = Pace(threads=10)
    for _ in range(200):  # Until the average has come to it.
        backlog = pace.backlog(seconds)
    assert backlog == pytest.approx(10 * ahead, abs=1)


def test_before_anything_is_known_nothing_waits():
    assert Pace(threads=10).backlog(0.05) == 0


def test_slots_grow_and_shrink_with_the_backlog():
    slots = Slots(threads=1, tasks=0)
    pay = step("pay")
    assert slots.reserve(pay, FORWARD)
    assert not slots.reserve(pay, FORWARD)

    slots.allow_backlog(1)
    assert slots.reserve(pay, FORWARD)
    assert not slots.reserve(pay, FORWARD)

    slots.allow_backlog(0)
    slots.give_back({False: 1})
    assert slots.free == 0
    assert not slots.reserve(pay, FORWARD)
    slots.give_back({False: 1})
    assert slots.reserve(pay, FORWARD)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("brisk")
class TestWaiting:
    def test_an_attempt_that_waited_has_its_whole_time_once_it_runs(self, define, play, monkeypatch):
        monkeypatch.setattr("sagas.engine.tempo.Pace.backlog", lambda pace, seconds: 100)
        quick = define(step("quick"), step("slow", timeout=timedelta(seconds=0.4)))
        play.always("slow", sleeping(0.3))
        start_many(quick, [{}] * 20)  # 4 threads: the last wait three times as long as they may take.

        run(budget=timedelta(seconds=10))

        assert set(Saga.objects.values_list("status", flat=True)) == {"completed"}
        assert set(SagaStep.objects.values_list("attempts", flat=True)) == {1}

    def test_what_still_waits_when_the_budget_is_spent_is_given_back_uncounted(
        self, define, play, monkeypatch
    ):
        monkeypatch.setattr("sagas.engine.tempo.Pace.backlog", lambda pace, seconds: 100)
        definition = define(step("quick"), step("slow"))
        play.always("slow", sleeping(0.5))
        start_many(definition, [{}] * 60)

        began = time.monotonic()
        run(budget=timedelta(seconds=0.4))

        assert time.monotonic() - began < 2
        slow = SagaStep.objects.filter(name="slow")
        called = len(play.contexts["slow"])
        assert 0 < called < 60
        assert slow.filter(status="completed", attempts=1).count() == called
        assert not slow.exclude(status="completed").exclude(attempts=0).exists()
        assert not Saga.objects.exclude(held_by=None).exists()

        play.always("slow", None)
        run()
        assert set(Saga.objects.values_list("status", flat=True)) == {"completed"}
        assert set(SagaStep.objects.values_list("attempts", flat=True)) == {1}

    def test_nobody_is_claimed_to_be_let_go_of_for_want_of_a_thread(self, define, play, monkeypatch):
        monkeypatch.setattr("sagas.engine.tempo.Pace.backlog", lambda pace, seconds: 0)
        start_many(define(step("first"), step("second"), step("third")), [{}] * 30)

        run(budget=timedelta(seconds=10))

        assert set(Saga.objects.values_list("status", "fence")) == {("completed", 1)}
