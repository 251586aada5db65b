"""What has ended is deleted when its time is over, with all that belongs to it; what is needed stays."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from sagas import PermanentFailure, SubSaga, clock, start
from sagas.clock import database_now
from sagas.keys import case_id
from sagas.models import (
    DeadLetterAct,
    HistoryEntry,
    IdempotencyRecord,
    InboxMessage,
    OutboxMessage,
    Pruning,
    Saga,
    SagaBatch,
    SagaStep,
    Worker,
)
from sagas.operations import retention
from sagas.operations.performing import perform
from sagas.operations.retention import Wanted, prune, purge
from sagas.participants import effect_once
from sagas.testing import run_due, run_saga
from tests.doors.test_commands import refused, run
from tests.operations import situations
from tests.samples import postgresql_only, step

pytestmark = pytest.mark.django_db

MONTH = timedelta(days=30)


def wanted(**options) -> Wanted:
    return Wanted(database_now(Saga.objects.db) - MONTH, **options)


def forget(**options):
    return prune(wanted(**options), by="command:ann@shop", reason="the law says 30 days")


@pytest.fixture
def completed(define, play):
    return situations.completed(define, play)


def test_an_ended_saga_goes_with_all_that_is_told_of_it_when_its_time_is_over(completed):
    assert not forget()
    clock.shift(2 * MONTH)

    counts = forget()

    assert (counts["sagas.Saga"], counts["sagas.SagaStep"]) == (1, 4)
    for model in (Saga, SagaStep, HistoryEntry):
        assert not model.objects.exists()
    assert not forget()


def test_what_was_deleted_is_recorded_in_the_same_transaction(completed, monkeypatch):
    clock.shift(2 * MONTH)
    with monkeypatch.context() as patch:
        patch.setattr(retention, "clean_text", lambda reason: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            forget()
    assert Saga.objects.exists()
    assert not Pruning.objects.exists()

    forget()

    record = Pruning.objects.get()
    assert (record.actor_kind, record.actor) == ("command", "command:ann@shop")
    assert (record.reason, record.counts["sagas.Saga"]) == ("the law says 30 days", 1)


@postgresql_only
def test_and_that_record_cannot_be_changed(completed):
    clock.shift(2 * MONTH)
    forget()
    with connection.cursor() as cursor:  # As outside of this test's transaction, where it ended with it.
        cursor.execute("SELECT set_config('sagas.retention', 'off', true)")
    for change in (Pruning.objects.all().delete, lambda: Pruning.objects.update(actor="bob")):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()


@pytest.mark.parametrize(
    "situation",
    ["pending", "between_attempts", "on_the_way_back", "suspended", "exhausted", "failed_on_the_way_back"],
)
def test_what_has_not_ended_stays_however_old(define, play, situation):
    saga = getattr(situations, situation)(define, play)
    clock.shift(12 * MONTH)
    forget()
    assert Saga.objects.filter(pk=saga.pk).exists()


def test_an_ended_saga_that_needs_a_person_stays(completed):
    Saga.objects.update(attention="late_effect")
    clock.shift(2 * MONTH)
    assert not forget()


def test_only_what_is_wanted_goes(define, play):
    kept = situations.compensated(define, play)
    situations.completed(define, play)
    OutboxMessage.objects.create(event_id=uuid4(), topic="old", correlation_id="x")
    clock.shift(2 * MONTH)

    assert not forget(definition="samples.other")
    assert forget(statuses=["completed"])["sagas.Saga"] == 1

    assert Saga.objects.get() == kept
    assert OutboxMessage.objects.exists()  # It is of no status.


def test_a_family_goes_as_one_or_stays_as_one(define, play):
    child = define(step("pack"), name="samples.child", undo_after_completion=True)
    parent = define(step("book"), SubSaga(child, input=lambda ctx: {}, name="send"), name="samples.parent")
    saga = run_saga(parent, {})
    assert saga.status == "completed"
    clock.shift(2 * MONTH)
    Saga.objects.filter(parent=saga).update(attention="late_effect")
    assert not forget()

    Saga.objects.filter(parent=saga).update(attention="")
    assert forget()["sagas.Saga"] == 2


def test_more_than_a_chunk_and_what_stays_does_not_hold_it_up(define, monkeypatch):
    monkeypatch.setattr(retention, "CHUNK", 2)
    child = define(step("pack"), name="samples.child", undo_after_completion=True)
    parent = define(SubSaga(child, input=lambda ctx: {}, name="send"), name="samples.parent")
    first = [run_saga(parent, {}) for _ in range(3)]
    Saga.objects.filter(parent__in=first).update(attention="late_effect")
    for _ in range(3):
        run_saga(child, {})
    clock.shift(2 * MONTH)

    assert forget()["sagas.Saga"] == 3
    assert Saga.objects.count() == 6
    assert Pruning.objects.count() == 2


def test_the_keys_of_its_effects_go_with_it_and_shared_ones_stay(define, play):
    def charge(ctx):
        return effect_once(ctx.idempotency_key, lambda: {"ok": True})

    play.always("own", charge)
    play.always("rendered", charge)
    play.always("shared", charge)
    definition = define(
        step("own"),
        step("rendered", idempotency_key="charge"),
        step("shared", idempotency_key="charge", shared_key=True),
    )
    run_saga(definition, {})
    assert IdempotencyRecord.objects.count() == 3
    clock.shift(2 * MONTH)

    forget()

    assert [record.key for record in IdempotencyRecord.objects.all()] == ["charge:forward"]


def test_events_go_when_they_were_handled_and_their_case_is_gone(db):
    def event(status, correlation="x"):
        return InboxMessage.objects.create(
            event_id=uuid4(), subscriber="sagas", topic=status, status=status, correlation_id=correlation
        )

    for status in ("kept", "taken", "done", "resolved"):
        event(status)
    acted_on = InboxMessage.objects.get(status="resolved")
    DeadLetterAct.objects.create(message=acted_on, actor_kind="user", operation="resolve")
    open_ = [event(status) for status in ("pending", "due", "dead")]
    in_case = event("done", "order 1")
    OutboxMessage.objects.create(event_id=uuid4(), topic="t", correlation_id="order 2")
    pending = OutboxMessage.objects.create(
        event_id=uuid4(), topic="t", correlation_id="order 3", status="pending"
    )
    Saga.objects.create(
        id=case_id("order 1"),
        kind="choreography",
        definition="c",
        version=1,
        input={},
        steps_total=0,
        correlation_id="order 1",
    )
    clock.shift(2 * MONTH)

    counts = forget()

    assert (counts["sagas.InboxMessage"], counts["sagas.DeadLetterAct"]) == (4, 1)
    assert set(InboxMessage.objects.all()) == {*open_, in_case}
    assert list(OutboxMessage.objects.all()) == [pending]


def test_batches_go_when_they_are_over_or_were_never_started(define):
    now = database_now(Saga.objects.db)
    values = {"operation": "retry", "actor_kind": "code", "selection": {}, "cutoff_at": now, "rate": 1}
    for status, ended_at in (("done", now), ("cancelled", now), ("draft", None), ("suspended", None)):
        SagaBatch.objects.create(status=status, ended_at=ended_at, **values)
    clock.shift(2 * MONTH)

    forget()

    assert [batch.status for batch in SagaBatch.objects.all()] == ["suspended"]


def test_it_is_archived_before_it_is_deleted(define, play, tmp_path):
    archive = tmp_path / "sagas.ndjson.gz"
    sagas = [situations.completed(define, play), situations.compensated(define, play)]
    clock.shift(2 * MONTH)

    for status in ("completed", "compensated"):
        prune(wanted(statuses=[status]), by=None, archive=archive)

    with gzip.open(archive, "rt") as lines:
        told = [json.loads(line) for line in lines]
    assert [line["id"] for line in told] == [str(saga.pk) for saga in sagas]
    assert [step["name"] for step in told[0]["steps"]] == ["book", "pay", "send", "tell"]
    assert told[0]["history"][0]["to_status"] == "running"
    assert archive.stat().st_mode & 0o077 == 0
    assert list(Pruning.objects.values_list("archive", flat=True)) == [str(archive)] * 2


def test_where_it_cannot_be_archived_it_is_not_deleted(completed, tmp_path):
    clock.shift(4 * MONTH)
    refusal = refused("prune_sagas", "--no-input", "--archive", tmp_path / "gone" / "file")
    assert "so nothing more was deleted" in str(refusal)
    assert Saga.objects.exists()


def test_it_stops_between_two_chunks(define, monkeypatch):
    monkeypatch.setattr(retention, "CHUNK", 1)
    definition = define(step("book"))
    for _ in range(3):
        run_saga(definition, {})
    clock.shift(2 * MONTH)
    answers = iter([False, True])

    prune(wanted(), by=None, is_stopping=lambda: next(answers, True))

    assert Saga.objects.count() == 2


def test_the_command_counts_first_and_asks(completed, monkeypatch):
    clock.shift(4 * MONTH)
    assert run("prune_sagas", "--dry-run") == ("1 saga would be deleted.\n", "")
    assert "Delete 1 saga? Nobody is there to be asked." in str(refused("prune_sagas"))
    assert Saga.objects.exists()

    out, _err = run("prune_sagas", "--no-input", "--older-than", "100d", "--json")

    assert json.loads(out)["sagas.Saga"] == 1
    assert Pruning.objects.get().actor.startswith("command:")
    assert run("prune_sagas", "--no-input")[0] == "Nothing deleted.\n"


def test_what_somebody_may_still_repeat_is_not_deleted(settings):
    settings.SAGAS = settings.SAGAS | {"IDEMPOTENCY_TTL": MONTH}
    assert "must find the first one" in str(refused("prune_sagas", "--older-than", "29d", "--no-input"))
    run("prune_sagas", "--older-than", "30d", "--no-input")


def test_a_saga_that_was_pruned_can_be_started_anew_and_undone(define, play):
    definition = define(step("book"), undo_after_completion=True)
    first = run_saga(definition, {})
    clock.shift(2 * MONTH)
    forget()
    second = start(definition, {})
    run_due()
    perform(second.pk, "compensate", by=None)
    play.says("undo book", PermanentFailure("no"))
    run_due()
    second.refresh_from_db()
    assert (first.pk != second.pk, second.status) == (True, "failed")


def test_rows_of_workers_long_gone_are_purged(db):
    for pid in (1, 2):
        Worker.objects.create(host="h", pid=pid, group=pid, queue="q", slots=1)
    clock.shift(timedelta(days=2))
    Worker.objects.filter(pid=2).update(beat_at=database_now(Worker.objects.db))
    purge()
    assert Worker.objects.get().pid == 2
