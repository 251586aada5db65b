"""A step's time is limited: when it is up nobody waits for it, on the loop or in its thread."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta

import pytest

from sagas import RetryPolicy, start, start_many
from sagas.clock import database_now
from sagas.models import HistoryKind, Saga, SagaStep
from tests.engine.runs import run, sleeping
from tests.samples import ONCE, history, statuses, step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("brisk")]

MOMENT = timedelta(milliseconds=100)
SOON = RetryPolicy(attempts=3, first_delay=MOMENT, jitter=0)


def test_an_async_step_whose_time_is_up_is_cancelled_and_not_known(define, play):
    fate: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            fate.append("cancelled")
            raise

    play.always("a", lambda ctx: hang())
    saga = start(define(step("a", asynchronous=True, timeout=MOMENT, retry=ONCE)), {})
    run()

    saga.refresh_from_db()
    a = saga.steps.get()
    assert fate == ["cancelled"]
    assert (a.status, a.error_class, a.error) == (
        "unknown",
        "OutcomeUnknown",
        "No answer within 0:00:00.100000.",
    )
    assert saga.status == "compensating"
    assert a.inflight_until is not None
    assert timedelta(seconds=25) < a.inflight_until - database_now("default") < timedelta(seconds=31)


def test_a_sync_step_whose_time_is_up_is_not_known_at_once(define, play):
    released = threading.Event()
    play.always("a", lambda ctx: released.wait(20))
    saga = start(define(step("a", timeout=MOMENT, retry=ONCE)), {})
    ran = run()
    released.set()
    assert statuses(saga) == {"a": "unknown"}
    assert not ran.leaking


def test_what_its_thread_comes_back_with_is_evidence(define, play):
    play.always("a", sleeping(0.3, {"late": True}))
    saga = start(define(step("a", timeout=MOMENT, retry=ONCE)), {})
    run()
    assert statuses(saga) == {"a": "unknown"}
    [entry] = history(saga, HistoryKind.EVIDENCE)
    assert (entry.step, entry.attempt, entry.data["result"]) == ("a", 1, {"late": True})


def test_a_late_answer_of_one_attempt_does_not_disturb_the_next(define, play):
    play.says("a", sleeping(0.5, {"n": 1}), sleeping(0.6, {"n": 2}))
    saga = start(define(step("a", timeout=timedelta(milliseconds=300), retry=SOON)), {})
    play.always("a", {"n": 3})
    run()
    saga.refresh_from_db()
    assert saga.status == "completed"
    assert saga.steps.get().result == {"n": 3}
    assert {entry.attempt for entry in history(saga, HistoryKind.EVIDENCE)} <= {1, 2}


def test_a_step_that_will_not_be_cancelled_does_not_hold_the_runner(define, play):
    async def cling() -> None:
        until = time.monotonic() + 8
        while time.monotonic() < until:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    play.always("a", lambda ctx: cling())
    saga = start(define(step("a", asynchronous=True, timeout=MOMENT, retry=ONCE)), {})
    other = start(define(step("b"), name="samples.other"), {})
    run()
    other.refresh_from_db()
    assert statuses(saga) == {"a": "unknown"}
    assert other.status == "completed"


def test_a_thread_that_an_async_step_left_behind_does_not_hold_the_runner(define, play):
    play.always("a", lambda ctx: asyncio.to_thread(time.sleep, 6))
    saga = start(define(step("a", asynchronous=True, timeout=MOMENT, retry=ONCE)), {})
    run()
    assert statuses(saga) == {"a": "unknown"}


def test_a_process_whose_threads_are_stuck_is_to_be_replaced(define, play):
    released = threading.Event()
    play.always("a", lambda ctx: released.wait(20))
    start_many(define(step("a", timeout=MOMENT, retry=ONCE)), [{}] * 2)
    ran = run()
    released.set()
    assert ran.leaking


def test_attempts_that_wait_for_threads_which_are_stuck_are_given_back(define, play, monkeypatch):
    monkeypatch.setattr("sagas.engine.tempo.Pace.backlog", lambda pace, seconds: 100)
    released = threading.Event()
    play.always("stuck", lambda ctx: released.wait(20))
    definition = define(step("quick"), step("stuck", timeout=MOMENT, retry=ONCE))
    start_many(definition, [{}] * 12)
    try:
        ran = run(budget=timedelta(seconds=1))
    finally:
        released.set()

    assert ran.leaking
    called = len(play.contexts["stuck"])
    assert called == 4  # as many as there are threads
    stuck = SagaStep.objects.filter(name="stuck")
    assert stuck.filter(status="unknown", attempts=1).count() == called
    assert not stuck.exclude(status="unknown").exclude(attempts=0).exists()
    assert not Saga.objects.exclude(held_by=None).exists()
