"""``recover_sagas``: what got stuck is found, told, and moved."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import Model

from sagas import RetryLater, WaitForEvent, clock, offer, start
from sagas.definitions import registry
from sagas.engine import inbox
from sagas.models import HistoryEntry, InboxMessage, Saga, SagaStep
from sagas.queue.tasks import recover as scheduled_recovery
from sagas.queue.tasks import run_due as run_task
from sagas.testing import run_due, run_saga
from tests.doors.conftest import Sagas
from tests.doors.test_commands import refused, run
from tests.engine.hands import Hand
from tests.samples import HOUR, MINUTE, OrderInput, step

pytestmark = pytest.mark.django_db

DAY = 24 * HOUR
WAIT = WaitForEvent("parcel.sent", correlate="{order_id}", timeout=DAY)

SUMMARY = {"scanned", "recovered", "skipped", "failed", "by_class"}


def recover(*arguments: object) -> Any:
    out, _err = run("recover_sagas", "--json", *arguments)
    summary = json.loads(out)
    assert set(summary) == SUMMARY
    assert summary["scanned"] == summary["recovered"] + summary["skipped"] + summary["failed"]
    assert summary["scanned"] == sum(summary["by_class"].values())
    return summary


def rows() -> list[Any]:
    models: list[type[Model]] = [Saga, SagaStep, HistoryEntry]
    return [list(model._default_manager.order_by("pk").values()) for model in models]


@pytest.fixture
def lost(sagas: Sagas) -> Saga:
    """A saga whose worker died."""
    saga = sagas.pending()
    Hand().take()
    clock.shift(timedelta(minutes=2))
    return saga


def test_what_is_due_and_what_lost_its_worker_is_found_and_the_workers_are_rung(lost, sagas, queue):
    due = sagas.pending()
    clock.shift(MINUTE)
    before = rows()

    out, _err = run("recover_sagas")

    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "lease" in lines[str(lost.pk)]
    assert "due" in lines[str(due.pk)]
    assert "Found 2 sagas. Asked the workers to take 2." in out
    assert queue
    assert rows() == before


def test_the_summary_counts_what_was_found_by_class(lost, sagas, queue):
    sagas.pending()

    assert recover() == {
        "scanned": 2,
        "recovered": 2,
        "skipped": 0,
        "failed": 0,
        "by_class": {"lease": 1, "due": 1, "fact": 0, "event": 0},
    }


@pytest.fixture
def missed(define) -> Saga:
    """A saga that waits for an event which is in the inbox."""
    saga = run_saga(define(WAIT, name="samples.missed", input=OrderInput), {"order_id": "missed"})
    InboxMessage.objects.create(
        event_id=uuid4(), subscriber="sagas", topic="parcel.sent", key="missed", status="kept"
    )
    return saga


@pytest.fixture
def told(define, missed) -> Saga:
    """A saga that waits, and whose event was delivered by someone who died before saying so to anybody."""
    saga = run_saga(define(WAIT, name="samples.told", input=OrderInput), {"order_id": "told"})
    offer("parcel.sent", {}, key="told")
    inbox.deliver()
    return saga


def test_what_was_told_or_could_hear_is_found_and_moves(missed, told, queue):
    before = rows()

    lines = {line.split()[0]: line for line in run("recover_sagas", "--dry-run")[0].splitlines()}
    assert "fact" in lines[str(told.pk)]
    assert "event" in lines[str(missed.pk)]
    assert rows() == before
    assert recover()["by_class"] == {"lease": 0, "due": 0, "fact": 1, "event": 1}
    assert queue
    assert recover("--dry-run", "--classes", "due")["scanned"] == 2
    run_due()
    assert set(Saga.objects.values_list("status", flat=True)) == {"completed"}


def test_an_event_that_its_saga_has_had_is_not_missed(define):
    once, again = WAIT, WaitForEvent("parcel.sent", correlate="{order_id}", timeout=DAY, name="again")
    saga = run_saga(define(once, again, input=OrderInput), {"order_id": "1"})
    offer("parcel.sent", {}, key="1")
    run_due()
    InboxMessage.objects.update(status="kept")
    assert saga.steps.get(name="again").status == "waiting"

    assert run("recover_sagas") == ("Nothing is overdue.\n", "")


@pytest.mark.parametrize(("age", "scanned"), [("1m", 2), ("1h", 0)])
def test_what_was_told_or_came_only_just_is_not_stuck(missed, told, age, scanned):
    clock.shift(10 * MINUTE)

    assert recover("--dry-run", "--older-than", age)["scanned"] == scanned


@pytest.mark.parametrize(
    ("classes", "scanned"), [("lease", 1), ("due", 1), ("fact", 1), ("event,due", 2), ("lease, fact", 2)]
)
def test_the_classes_to_look_for_can_be_chosen(missed, told, lost, sagas, queue, classes, scanned):
    sagas.pending()

    assert recover("--dry-run", "--classes", classes)["scanned"] == scanned


class TestTurningBack:
    def test_what_is_stuck_is_turned_back_and_the_history_says_by_whom_and_why(self, lost, sagas, queue):
        clock.shift(HOUR)
        young = sagas.pending()
        Saga.objects.filter(pk=young.pk).update(due_at=clock.database_now("default"))

        summary = recover("--compensate", "--older-than", "30m", "--reason", "the bank is gone")

        assert (summary["scanned"], summary["recovered"]) == (1, 1)
        act = lost.history.get(kind="act")
        assert (act.operation, act.actor_kind, act.reason) == ("compensate", "command", "the bank is gone")
        run_due()
        assert [Saga.objects.get(pk=saga.pk).status for saga in (lost, young)] == ["compensated", "completed"]

    def test_what_has_passed_its_pivot_goes_on(self, define, queue):
        definition = define(step("sell", pivot=True), step("send", irrevocable="it is a mail"))
        past, before = start(definition, {}), start(definition, {})
        hand = Hand()
        [attempt] = hand.take(only=[past.pk])
        hand.settle(*hand.call([attempt]))
        clock.shift(MINUTE)

        error = refused("recover_sagas", "--compensate", "--older-than", "10s")

        assert error.returncode == 3
        assert str(error) == "0 sagas failed, and 1 could not be turned back."
        past.refresh_from_db()
        before.refresh_from_db()
        assert (past.direction, before.direction) == ("forward", "back")
        assert queue

    def test_not_whatever_is_due_at_this_moment(self, sagas, queue):
        saga = sagas.pending()

        assert str(refused("recover_sagas", "--compensate")).startswith(
            "--compensate would turn back whatever is due at this moment."
        )
        assert recover("--compensate", "--saga", saga.pk)["recovered"] == 1

    def test_a_dry_run_turns_nothing_back(self, lost, queue):
        before = rows()

        run("recover_sagas", "--compensate", "--older-than", "1s", "--dry-run")
        assert rows() == before


def test_the_scheduled_recovery_does_what_the_command_does(missed, told, lost, queue):
    for _ in range(2):
        scheduled_recovery()

    assert queue
    run_due()
    assert set(Saga.objects.values_list("status", flat=True)) == {"completed"}


def test_it_rings_for_nobody_where_nothing_is_stuck(sagas, queue):
    sagas.completed()
    scheduled_recovery()

    assert not queue


def test_it_never_raises(monkeypatch, caplog):
    monkeypatch.setattr("sagas.engine.recovery.recover", lambda: 1 / 0)
    scheduled_recovery()

    assert "What got stuck could not be looked for; the next round will." in caplog.text


def test_sagas_that_need_nobody_or_a_person_are_left_alone(sagas, retrying, queue):
    sagas.completed(), sagas.failed(), sagas.suspended()
    Hand().take()

    assert run("recover_sagas") == ("Nothing is overdue.\n", "")
    assert not queue


def test_a_dry_run_does_nothing(lost, queue):
    before = rows()

    out, _err = run("recover_sagas", "--dry-run")
    assert "Found 1 saga, and did nothing." in out
    assert str(lost.pk) in out
    assert recover("--dry-run")["skipped"] == 1
    assert not queue
    assert rows() == before


def test_a_check_does_nothing_and_exits_4_when_it_found_something(lost, queue):
    before = rows()

    error = refused("recover_sagas", "--check")
    assert error.returncode == 4
    assert str(error).startswith("1 saga should have moved more than 0:00:10 ago.")
    assert not queue
    assert rows() == before
    assert run("recover_sagas", "--check", "--older-than", "1h")[0] == "Nothing is overdue.\n"


def test_a_check_is_content_with_what_is_only_just_due(sagas):
    sagas.pending()

    run("recover_sagas", "--check")
    assert refused("recover_sagas", "--check", "--older-than", "0s").returncode == 4


@pytest.mark.parametrize(
    ("arguments", "scanned"),
    [
        ((), 3),
        (("--older-than", "5m"), 2),
        (("--older-than", "1h"), 0),
        (("--definition", "samples.trip"), 2),
        (("--definition", "samples.none"), 0),
        (("--limit", "1"), 1),
        (("--limit", "1", "--definition", "samples.other"), 1),
    ],
)
def test_what_is_looked_at_can_be_narrowed(sagas, define, queue, arguments, scanned):
    sagas.pending()
    start(define(step("a"), name="samples.other"), {})
    clock.shift(10 * MINUTE)
    sagas.pending()

    Saga.objects.filter(key="order:2").update(due_at=clock.database_now("default"))
    assert recover("--dry-run", *arguments)["scanned"] == scanned


def test_single_sagas_can_be_named(sagas):
    first, second, _third = sagas.pending(), sagas.pending(), sagas.pending()

    assert recover("--dry-run", "--saga", first.pk)["scanned"] == 1
    assert recover("--dry-run", "--saga", first.pk, "--saga", second.pk)["scanned"] == 2


def test_what_no_code_here_can_run_is_told_and_skipped(sagas, trip, define, queue):
    sagas.pending()
    newer = define(step("a"), name="samples.newer", version=2)
    start(newer, {})
    registry.remove(trip)
    registry.remove(newer)
    define(step("a"), name="samples.newer", version=1)

    out, _err = run("recover_sagas")
    assert out.count("no code here runs its definition") == 2
    assert "Asked the workers to take 0. 2 stand as they stood" in out
    assert not queue


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--run", "--dry-run"), "not allowed with argument"),
        (("--run", "--check"), "not allowed with argument"),
        (("--older-than", "long"), "'long' is no duration."),
        (("--limit", "-1"), "'-1' is not a number of at least 1."),
        (("--classes", "due,lost"), "'due,lost' names no classes. They are: lease, due, fact, event."),
        (("--saga", "7"), "'7' is no id of a saga, which has 32 hexadecimal digits."),
    ],
)
def test_what_means_nothing_is_refused(arguments, told):
    assert told in str(refused("recover_sagas", *arguments))


# --run: a runner of its own, with threads and connections of its own.


@pytest.fixture
def swift(settings) -> None:
    settings.SAGAS = settings.SAGAS | {"LINGER": timedelta(milliseconds=100)}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("swift", "queue")
class TestRunning:
    def test_sagas_are_brought_to_their_end_without_the_queue(self, sagas, lost):
        made = [lost, sagas.pending(), sagas.pending()]

        assert recover("--run")["recovered"] == 3
        assert {Saga.objects.get(pk=saga.pk).status for saga in made} == {"completed"}

    def test_a_second_time_there_is_nothing_to_do(self, sagas):
        sagas.pending()
        run("recover_sagas", "--run")
        before = rows()

        assert run("recover_sagas", "--run") == ("Nothing is overdue.\n", "")
        assert rows() == before

    def test_only_what_was_named_is_run(self, sagas, define):
        named, other = sagas.pending(), sagas.pending()
        third = start(define(step("a"), name="samples.other", input=OrderInput), {"order_id": "3"})

        assert recover("--run", "--saga", named.pk)["scanned"] == 1
        assert recover("--run", "--definition", "samples.other")["scanned"] == 1
        states = [Saga.objects.get(pk=saga.pk).status for saga in (named, other, third)]
        assert states == ["completed", "pending", "completed"]

    def test_what_needs_a_person_afterwards_is_counted_apart(self, sagas, play):
        sagas.pending(), sagas.pending()
        play.says("pay", RetryLater("closed"))

        error = refused("recover_sagas", "--run")
        assert error.returncode == 3
        assert str(error) == "1 saga failed, and 0 could not be turned back."
        assert sorted(Saga.objects.values_list("status", flat=True)) == ["completed", "failed"]

    def test_what_was_told_or_could_hear_is_run_too(self, missed, told):
        assert recover("--run")["recovered"] == 2
        assert set(Saga.objects.values_list("status", flat=True)) == {"completed"}

    def test_what_a_live_worker_holds_is_left_to_it(self, sagas):
        held = sagas.pending()
        Hand().take()
        free = sagas.pending()

        assert recover("--run")["scanned"] == 1
        held.refresh_from_db()
        free.refresh_from_db()
        assert (held.status, free.status) == ("running", "completed")

    def test_what_no_code_here_can_run_does_not_keep_the_command(self, sagas, trip):
        sagas.pending()
        registry.remove(trip)

        assert recover("--run")["skipped"] == 1
        assert recover("--run", "--definition", "samples.trip")["skipped"] == 1

    def test_more_sagas_than_one_runner_takes_are_run_in_turns(self, sagas, monkeypatch):
        monkeypatch.setattr("sagas.management.recovery.CHUNK", 2)
        for _ in range(5):
            sagas.pending()

        assert recover("--run", "--definition", "samples.trip")["recovered"] == 5

    def test_the_workers_can_do_what_the_command_does(self, sagas, lost):
        """The wake-up that the command rings leads to the same end."""
        recover()
        run_task()

        lost.refresh_from_db()
        assert lost.status == "completed"
