"""The runner, in this process: real threads, a real event loop, real time-outs."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from django_q.models import OrmQ

from sagas import Parallel, PermanentFailure, RetryLater, RetryPolicy, start, start_many
from sagas.clock import database_now
from sagas.conf import saga_settings
from sagas.engine.runner import SPARE, Ran, Runner
from sagas.models import Saga, SagaStep, Wake
from sagas.states import AT_WORK
from sagas.telemetry import current_saga
from tests.engine.runs import run, sleeping
from tests.samples import HOUR, history, step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("brisk")]

MOMENT = timedelta(milliseconds=100)
SOON = RetryPolicy(attempts=3, first_delay=MOMENT, jitter=0)


def test_steps_in_threads_and_on_the_loop_are_done(define, play):
    play.always("b", {"n": 1})
    definition = define(
        step("a"),
        step("b", asynchronous=True),
        Parallel(step("c"), step("d", asynchronous=True)),
        step("e", asynchronous=True),
    )
    sagas = start_many(definition, [{}] * 20)
    ran = run()

    assert set(Saga.objects.values_list("status", flat=True)) == {"completed"}
    assert set(SagaStep.objects.values_list("status", "attempts")) == {("completed", 1)}
    assert sorted(play.calls) == sorted("abcde" * 20)
    assert {ctx.results["b"]["n"] for ctx in play.contexts["e"]} == {1}
    assert (ran.attempts, ran.leaking) == (100, False)
    assert ran.claimed >= 20  # One that found no free thread was let go, and claimed again.
    assert all(len(history(saga)) == 2 for saga in sagas)


def test_sync_steps_run_in_threads_and_async_steps_on_the_loop(define, play):
    where: dict[str, str] = {}
    for name in "ab":
        play.always(name, lambda ctx, name=name: where.update({name: threading.current_thread().name}))
    start(define(step("a"), step("b", asynchronous=True)), {})
    run()
    assert where["a"].startswith("saga-step-")
    assert where["b"] == "MainThread"


def test_what_a_step_logs_belongs_to_its_saga(define, play):
    seen: dict[str, Any] = {}
    for name in "ab":
        play.always(name, lambda ctx, name=name: seen.update({name: current_saga.get()}))
    saga = start(define(step("a"), step("b", asynchronous=True)), {})
    run()
    assert seen == {"a": saga.pk, "b": saga.pk}


def test_async_steps_run_side_by_side(define, play):
    async def think() -> None:
        await asyncio.sleep(0.3)

    play.always("a", lambda ctx: think())
    start_many(define(step("a", asynchronous=True)), [{}] * 50)
    run()
    assert Saga.objects.filter(status="completed").count() == 50


def test_a_retry_that_comes_due_while_it_lingers_is_made(define, play):
    play.says("a", RetryLater("busy"), RetryLater("busy"))
    saga = start(define(step("a", retry=SOON)), {})
    run()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("completed", ["a"] * 3)


def test_a_way_back(define, play):
    play.says("c", PermanentFailure("no"))
    saga = start(define(step("a"), step("b", asynchronous=True), step("c", asynchronous=True)), {})
    run()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", ["a", "b", "c", "undo b", "undo a"])


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_nothing_a_step_raises_ends_the_runner(define, play, error, asynchronous):
    play.says("a", error)
    saga = start(define(step("a", asynchronous=asynchronous, retry=SOON), step("b")), {})
    run()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("completed", ["a", "a", "b"])


def test_when_its_budget_ends_it_starts_nothing_new_and_lets_everything_go_at_once(define, play):
    play.always("a", sleeping(0.4))
    definition = define(step("a"), step("b"))
    sagas = start_many(definition, [{}] * 6)
    run(budget=MOMENT)

    assert "b" not in play.calls
    assert play.calls == ["a"] * 4  # as many as it has threads
    done = SagaStep.objects.filter(name="a", status="completed").count()
    assert done == 4
    for saga in sagas:
        saga.refresh_from_db()
        assert saga.held_by is None
        assert saga.due_at is not None
        assert saga.due_at <= database_now("default")


def test_an_attempt_in_flight_at_the_end_of_the_budget_is_awaited(define, play):
    play.always("a", sleeping(0.5, {"n": 1}))
    saga = start(define(step("a")), {})
    run(budget=MOMENT)
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_what_comes_due_later_gets_a_wake_up(define, play):
    play.says("a", RetryLater("busy", delay=HOUR))
    saga = start(define(step("a")), {})
    run()
    saga.refresh_from_db()
    assert saga.due_at is not None
    [message] = OrmQ.objects.filter(lock__gt=database_now("default") + HOUR / 2)
    assert message.lock is not None
    assert timedelta(0) <= message.lock - saga.due_at < timedelta(seconds=2)


def test_it_calls_for_help_where_there_is_more_and_for_when_its_leases_end(define, settings, monkeypatch):
    settings.SAGAS = settings.SAGAS | {"BATCH": 2}
    rung: list[Any] = []
    monkeypatch.setattr("sagas.engine.runner.wake", lambda *at, after=None: rung.append(after or at))
    start_many(define(step("a")), [{}] * 5)
    run()
    assert () in rung  # Now.
    assert saga_settings().lease + SPARE in rung


def test_the_wake_up_for_the_end_of_a_lease_is_left_before_a_call_is_made(define, play, monkeypatch):
    rung: list[Any] = []
    monkeypatch.setattr("sagas.engine.runner.wake", lambda *at, after=None: rung.append(after))
    left: list[bool] = []
    play.always("a", lambda ctx: left.append(saga_settings().lease + SPARE in rung))
    start(define(step("a", asynchronous=True)), {})
    run()
    assert left == [True]


def test_past_wake_ups_are_cleared_before_it_looks(define, play):
    Wake.objects.create(queue="sagas", at=database_now("default") - HOUR)
    Wake.objects.create(queue="sagas", at=database_now("default") + HOUR)
    Wake.objects.create(queue="other", at=database_now("default") - HOUR)
    run()
    assert not Wake.objects.filter(queue="sagas", at__lt=database_now("default")).exists()
    assert Wake.objects.filter(queue="other").exists()


def test_it_can_be_held_to_some_sagas(define, play):
    definition = define(step("a"))
    wanted, other = start(definition, {}), start(definition, {})
    run(only=[wanted.pk])
    wanted.refresh_from_db()
    other.refresh_from_db()
    assert (wanted.status, other.status) == ("completed", "pending")


def test_two_runners_share_the_work(define, play):
    play.always("a", sleeping(0.02))
    start_many(define(step("a"), step("b")), [{}] * 40)
    runners = [threading.Thread(target=lambda: Runner().run()) for _ in range(2)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join(10)
    assert not Saga.objects.filter(status__in=AT_WORK).exists()
    assert sorted(play.calls) == ["a"] * 40 + ["b"] * 40
    assert set(SagaStep.objects.values_list("attempts", flat=True)) == {1}


def test_with_nothing_to_do_it_ends(db):
    assert run() == Ran()
