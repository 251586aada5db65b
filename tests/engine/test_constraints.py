"""What the database promises, whoever writes to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from sagas import PermanentFailure, RetryLater, start
from sagas.models import HistoryEntry, Saga, SagaFact, SagaStep, Wake
from sagas.operations.performing import perform
from sagas.states import SagaStatus
from sagas.testing import advance, run_due, run_saga
from tests.samples import MINUTE, STEADY, history, postgresql_only, step

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ENDED = {"due_at": None, "held_by": None, "ended_at": NOW}
AT_WORK = {"due_at": NOW, "ended_at": None}
AT_REST = {"due_at": None, "held_by": None, "ended_at": None}


@pytest.fixture
def saga(define):
    """A saga whose row can be anything."""
    return start(define(step("pay"), step("send")), {}, key="mine")


def write(row: Any, **values: Any) -> None:
    with transaction.atomic():
        type(row).objects.filter(pk=row.pk).update(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"status": "pending"} | AT_WORK,
        {"status": "running", "held_by": uuid4()} | AT_WORK,
        {"status": "compensating"} | AT_WORK,
        {"status": "suspended"} | AT_REST,
        {"status": "failed"} | AT_REST,
        {"status": "completed"} | ENDED,
        {"status": "compensated"} | ENDED,
        {"status": "abandoned"} | ENDED,
    ],
    ids=lambda values: values["status"],
)
def test_a_saga_is_due_held_or_ended_as_its_status_says(saga, values):
    write(saga, **values)


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"status": "nonsense"}, "sagas_saga_"),
        ({"status": ""}, "sagas_saga_"),
        # One at work is never forgotten.
        ({"status": "pending"} | AT_WORK | {"due_at": None}, "sagas_saga_due"),
        ({"status": "running"} | AT_WORK | {"due_at": None}, "sagas_saga_due"),
        ({"status": "compensating"} | AT_WORK | {"due_at": None}, "sagas_saga_due"),
        ({"status": "running"} | AT_WORK | {"ended_at": NOW}, "sagas_saga_due"),
        # One at rest is nobody's.
        ({"status": "suspended"} | AT_REST | {"due_at": NOW}, "sagas_saga_due"),
        ({"status": "failed"} | AT_REST | {"held_by": uuid4()}, "sagas_saga_due"),
        ({"status": "failed"} | AT_REST | {"ended_at": NOW}, "sagas_saga_due"),
        # One that ended needs nobody, and tells when it did.
        ({"status": "completed"} | ENDED | {"due_at": NOW}, "sagas_saga_due"),
        ({"status": "compensated"} | ENDED | {"held_by": uuid4()}, "sagas_saga_due"),
        ({"status": "abandoned"} | ENDED | {"ended_at": None}, "sagas_saga_due"),
    ],
)
def test_or_it_is_not_stored(saga, values, constraint):
    with pytest.raises(IntegrityError, match=constraint):
        write(saga, **values)


@pytest.mark.parametrize("status", ["completed", "compensated", "abandoned"])
@pytest.mark.parametrize("other", SagaStatus)
def test_what_has_ended_stays_so(saga, status, other):
    write(saga, status=status, **ENDED)
    if other == status or (status, other) == ("completed", "compensating"):
        # Some completed sagas may be turned back by a person.
        write(saga, status=other, **(ENDED if other == status else AT_WORK))
        return
    fields = ENDED if other in ("completed", "compensated", "abandoned") else AT_WORK
    with pytest.raises(IntegrityError, match="stays so"):
        write(saga, status=other, **fields)


def test_what_is_told_of_an_ended_saga_may_be_added_to(saga):
    write(saga, status="compensated", **ENDED)
    write(saga, attention="late_effect", revision=9)


def test_one_live_saga_holds_a_key(saga):
    twin = Saga(definition=saga.definition, key="mine", version=1, input={}, steps_total=0)
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save(force_insert=True)


def test_a_step_has_its_name_once(saga):
    pay = saga.steps.get(name="pay")
    with pytest.raises(IntegrityError), transaction.atomic():
        SagaStep.objects.create(
            saga=saga, name="pay", stage=5, idempotency_key=pay.undo_key, undo_key=pay.undo_key
        )


@pytest.mark.parametrize("values", [{"status": "nonsense"}, {"status": "waiting", "waits_for": ""}])
def test_a_step_stands_somewhere_and_waits_for_something(saga, values):
    with pytest.raises(IntegrityError, match="sagas_step_"):
        write(saga.steps.get(name="pay"), **values)


def test_a_fact_of_one_source_is_one(saga):
    SagaFact.objects.create(saga=saga, kind="suspend", source="x")
    SagaFact.objects.create(saga=saga, kind="turn_back", source="x")
    with pytest.raises(IntegrityError), transaction.atomic():
        SagaFact.objects.create(saga=saga, kind="suspend", source="x")


def test_evidence_of_an_attempt_is_kept_once(saga):
    entry = {"saga": saga, "kind": "evidence", "step": "pay", "direction": "forward", "attempt": 1}
    HistoryEntry.objects.create(**entry)
    HistoryEntry.objects.create(**entry | {"attempt": 2})
    HistoryEntry.objects.create(**entry | {"kind": "attempt"})
    with pytest.raises(IntegrityError), transaction.atomic():
        HistoryEntry.objects.create(**entry)


def test_a_second_is_woken_for_once(db):
    Wake.objects.create(queue="a", at=NOW)
    Wake.objects.create(queue="b", at=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        Wake.objects.create(queue="a", at=NOW)


@postgresql_only
class TestHistoryIsAppendOnly:
    @pytest.fixture
    def entry(self, saga):
        return HistoryEntry.objects.create(saga=saga, kind="act", actor="alice")

    def test_an_entry_cannot_be_changed(self, entry):
        with pytest.raises(
            IntegrityError, match=f"history is append-only: entry {entry.pk} cannot be changed"
        ):
            write(entry, actor="bob")

    def test_nor_deleted(self, entry):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            entry.delete()

    def test_nor_deleted_with_its_saga(self, entry):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            entry.saga.delete()

    def test_but_for_retention_it_can_be_deleted(self, entry):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL sagas.retention = 'on'")
            entry.delete()
        assert not HistoryEntry.objects.exists()

    def test_and_even_then_not_changed(self, entry):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL sagas.retention = 'on'")
        with pytest.raises(IntegrityError, match="append-only"):
            write(entry, actor="bob")


def replayed(saga: Saga) -> str:
    """Return the status that the history leads to, having checked that every entry follows on the last."""
    status = "pending"
    for entry in history(saga):
        if entry.to_status:
            assert entry.from_status == status
            status = entry.to_status
    return status


def test_the_history_replayed_gives_the_status(define, play):
    play.says("pay", RetryLater("busy"))
    play.says("send", PermanentFailure("no"))
    play.says("undo pay", PermanentFailure("no"))
    saga = run_saga(define(step("pay", retry=STEADY), step("send")), {})
    stories = [saga.status]

    def then() -> None:
        run_due()
        saga.refresh_from_db()
        stories.append(saga.status)
        assert replayed(saga) == saga.status

    for operation in ("suspend", "resume"):
        perform(saga.pk, operation, by=None)
        then()
    advance(MINUTE)
    then()
    perform(saga.pk, "retry", by=None)
    then()
    assert stories == ["running", "suspended", "running", "failed", "compensated"]
