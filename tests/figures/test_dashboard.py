"""What the dashboard tells, and what it asks of the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from sagas import HALT, OutcomeUnknown, PermanentFailure, RetryLater, clock, start
from sagas.clock import database_now
from sagas.figures import Tiles, dashboard, durations, failure_groups, half_hours, last_acts, passed
from sagas.figures.flow import NUMBER
from sagas.models import HistoryEntry, InboxMessage, Saga, Worker
from sagas.operations.performing import perform
from sagas.testing import run_due, run_saga
from tests.engine.hands import Hand
from tests.engine.statements import statements
from tests.samples import ONCE, STEADY, OrderInput, postgresql_only, step

pytestmark = pytest.mark.django_db


def board() -> Any:
    """Return the dashboard; that its parts may be None, tests of what they tell need not mind."""
    return dashboard()


@pytest.fixture
def shop(define, play):
    """Sagas that stand in many ways: two wait, one retries, one goes back, two halted alike, two ended."""
    trip = define(step("book"), step("pay", retry=ONCE, on_exhausted=HALT))
    tour = define(step("call", retry=STEADY, undo_retry=STEADY), step("ride"), name="samples.tour")
    for number in (4711, 4712):
        play.says("pay", RetryLater(f"no answer for {number}"))
        run_saga(trip, {})
    run_saga(trip, {})
    play.says("call", RetryLater("busy"))
    run_saga(tour, {})
    play.says("ride", PermanentFailure("no horse"))
    play.says("undo call", RetryLater("busy"))
    run_saga(tour, {})
    play.says("call", PermanentFailure("no"))
    run_saga(tour, {})
    suspended = start(trip, {})
    perform(suspended.pk, "suspend", by="command:sam@shop", reason="lunch")
    return start(trip, {})


def test_the_tiles_count_each_saga_where_it_stands(shop):
    assert board().tiles == Tiles(
        attention=2,
        running=2,
        retrying=1,
        compensating=1,
        suspended=1,
        stuck=0,
        open=6,
        oldest_open=Saga.objects.filter(ended_at=None).earliest("created_at").created_at,
        late_since=None,
        dead_letters=0,
    )


def test_events_that_did_not_reach_everybody_are_told(db):
    now = database_now("default")
    late, early = now - timedelta(minutes=3), now + timedelta(minutes=3)
    for status, due_at in (("due", late), ("due", early), ("dead", None)):
        InboxMessage.objects.create(event_id=uuid4(), subscriber="s", topic="t", status=status, due_at=due_at)
    tiles = board().tiles
    assert (tiles.late_since, tiles.dead_letters) == (late, 1)


def test_what_nobody_moves_is_stuck(shop):
    clock.shift(timedelta(seconds=5))
    assert board().tiles.stuck == 0
    clock.shift(timedelta(seconds=30))
    assert board().tiles.stuck == 3


def test_who_ended_or_halted_is_counted_in_its_half_hour(shop):
    now = datetime(2026, 3, 1, 12, 10, tzinfo=UTC)
    ended = Saga.objects.filter(status="completed")
    ended.update(ended_at=now - timedelta(minutes=15))
    Saga.objects.filter(status="compensated").update(ended_at=now - timedelta(days=1, hours=1))
    halt = HistoryEntry(kind="status", to_status="failed", at=now - timedelta(hours=23, minutes=39))
    halt.saga = ended[0]  # It was retried since, and completed.
    halt.save()

    found = half_hours(passed(now), now)
    assert len(found) == NUMBER
    assert (found[0].start, found[-1].start) == (
        datetime(2026, 2, 28, 12, 30, tzinfo=UTC),
        datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
    )
    assert (found[0].failed, found[-2].completed) == (1, 1)
    assert sum(each.completed + each.compensated + each.abandoned + each.failed for each in found) == 2


def test_what_is_long_over_is_counted_once_a_minute(shop, monkeypatch):
    now = datetime(2026, 3, 1, 12, 10, tzinfo=UTC)
    long_ago, lately = (
        Saga.objects.filter(status=status, ended_at__isnull=False) for status in ("completed", "compensated")
    )
    long_ago.update(ended_at=now - timedelta(hours=2))
    lately.update(ended_at=now - timedelta(minutes=20))

    def counted() -> list[int]:
        return [
            sum(each.number for each in passed(now) if each.status == s) for s in ("completed", "compensated")
        ]

    assert counted() == [1, 1]
    Saga.objects.filter(ended_at__isnull=False).update(ended_at=now - timedelta(days=3))
    assert counted() == [1, 0]
    monkeypatch.setattr("sagas.figures.flow.KEPT_FOR", 0)
    assert counted() == [0, 0]


def test_definitions_tell_how_many_failed_and_how_long_they_take(shop):
    Saga.objects.filter(status="completed").update(
        created_at="2026-03-01T12:00Z", ended_at="2026-03-01T12:00:04Z"
    )
    assert {name: (took.number, took.p50, took.p95) for name, took in durations().items()} == {
        "samples.trip": (1, timedelta(seconds=4), timedelta(seconds=4))
    }

    tour, trip = board().definitions
    assert (tour.definition, tour.open, tour.passed, tour.failed, tour.duration) == (
        "samples.tour",
        2,
        1,
        0,
        None,
    )
    assert (trip.open, trip.passed, trip.failed, trip.failed_rate) == (4, 2, 2, 1.0)


def test_of_many_durations_the_middle_and_the_end_are_told(define):
    definition = define(step("a"))
    for seconds in range(1, 21):
        saga = run_saga(definition, {})
        Saga.objects.filter(pk=saga.pk).update(
            created_at="2026-03-01T12:00:00Z", ended_at=f"2026-03-01T12:00:{seconds:02}Z"
        )
    took = durations()["samples.trip"]
    assert (took.number, took.p50, took.p95) == (20, timedelta(seconds=10), timedelta(seconds=19))


def test_sagas_that_halt_alike_are_one_group(shop, define, play):
    play.says("pay", OutcomeUnknown("no answer for 4713"))
    start_again = define(step("book"), step("pay", retry=ONCE, on_exhausted=HALT), input=OrderInput)
    run_saga(start_again, {"order_id": "1"})

    many, one = failure_groups()
    assert (many.definition, many.step, many.error_class, many.number) == (
        "samples.trip",
        "pay",
        "RetryLater",
        2,
    )
    assert many.message in ("no answer for 4711", "no answer for 4712")
    assert many.first_at < many.last_at < one.last_at
    assert (one.error_class, one.number, one.lately) == ("OutcomeUnknown", 1, 1)
    clock.shift(timedelta(days=2))
    assert failure_groups()[0].lately == 0
    assert Saga.objects.filter(error_fingerprint=many.fingerprint, status="failed").count() == 2


def test_who_was_retried_is_in_no_group_any_more(shop):
    failed = Saga.objects.filter(status="failed")[0]
    perform(failed.pk, "retry", by=None)
    run_due()

    assert [group.number for group in failure_groups()] == [1]


def test_the_last_acts_are_told_with_who_asked_and_why(shop):
    [act] = last_acts()
    assert (act.operation, act.actor_kind, act.actor, act.reason) == (
        "suspend",
        "command",
        "command:sam@shop",
        "lunch",
    )
    assert (act.was_refused, act.definition) == (False, "samples.trip")


def test_workers_are_alive_while_they_beat(db):
    Worker.objects.create(host="here", pid=1, group=1, queue="sagas", slots=4, busy=2)
    seen = board()
    assert [(worker.pid, worker.busy, worker.is_alive) for worker in seen.workers] == [(1, 2, True)]
    assert seen.workers_alive == 1

    clock.shift(timedelta(seconds=16))
    assert board().workers_alive == 0


def test_workers_tell_which_sagas_they_have_in_hand(define):
    definition = define(step("a"), input=OrderInput, key="order:{order_id}")
    few, many = Hand(), Hand()
    started = [start(definition, {"order_id": str(number)}) for number in range(7)]
    many.take(limit=5)
    few.take(limit=1)
    for number, hand in enumerate((many, few)):
        Worker.objects.create(id=hand.id, host="box", pid=number, group=1, queue="sagas", slots=9)

    by_pid = {worker.pid: worker for worker in board().workers}
    assert [saga.key for saga in by_pid[0].sagas] == ["order:0", "order:1", "order:2"]
    assert [saga.id for saga in by_pid[1].sagas] == [started[5].pk]
    assert (by_pid[0].has_more, by_pid[1].has_more) == (True, False)
    assert by_pid[1].sagas[0].definition == "samples.trip"


def test_what_a_silent_worker_had_in_hand_is_told_until_another_takes_it(define):
    saga = start(define(step("a")), {})
    silent, next_one = Hand(), Hand()
    silent.take()
    Worker.objects.create(id=silent.id, host="box", pid=1, group=1, queue="sagas", slots=9)
    clock.shift(timedelta(minutes=5))
    [worker] = board().workers
    assert (worker.is_alive, [held.id for held in worker.sagas]) == (False, [saga.pk])
    next_one.take()
    assert board().workers[0].sagas == ()


def test_nothing_is_shown_of_nothing(db):
    seen = board()
    assert seen.tiles == Tiles(0, 0, 0, 0, 0, 0, 0, None, None, 0)
    assert (seen.failure_groups, seen.definitions, seen.workers, seen.acts) == ((), (), (), ())
    assert len(seen.half_hours) == NUMBER


@pytest.mark.parametrize("number", [1, 30])
def test_it_asks_the_same_however_many_sagas_there_are(define, play, number):
    definition = define(step("pay", retry=ONCE, on_exhausted=HALT))
    play.says("pay", *[RetryLater("no")] * number)
    for _ in range(number):
        run_saga(definition, {})
        start(definition, {})
    board()  # What Django asks a database once is not ours.
    with statements() as asked:
        board()
    assert len(asked) == 6, asked


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_what_takes_too_long_is_left_out_and_the_rest_is_shown(define, monkeypatch):
    definition = define(step("pay"))
    run_saga(definition, {})

    def slow():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(10)")

    monkeypatch.setattr("sagas.figures.overview.PATIENCE", timedelta(milliseconds=50))
    monkeypatch.setattr("sagas.figures.overview.durations", slow)
    monkeypatch.setattr("sagas.figures.overview.failure_groups", slow)
    seen = board()
    assert (seen.failure_groups, seen.definitions[0].duration) == (None, None)
    assert seen.tiles.open == 0
    assert (seen.acts, seen.definitions[0].passed) == ((), 1)
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone()[0] != "50ms"
