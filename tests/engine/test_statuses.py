"""Statuses change by transitions only, each from where it may."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django_fsm import TransitionNotAllowed

from sagas import start
from sagas.models import Saga, SagaStep
from sagas.states import Attention, Direction, SagaStatus, StepStatus, WaitsFor
from sagas.testing import run_due
from tests.samples import step

NOW = datetime(2026, 3, 1, tzinfo=UTC)

SAGA: dict[str, tuple[str, str, tuple[Any, ...], dict[str, Any]]] = {
    "begin": ("pending", "running", (), {}),
    "complete": ("running", "completed", (), {"now": NOW}),
    "turn_back": ("pending running suspended failed completed", "compensating", (), {}),
    "undone": ("compensating", "compensated", (), {"now": NOW}),
    "undo_again": ("compensated", "compensating", (), {}),
    "halt": ("running compensating", "failed", (Attention.CRASH_LOOP,), {}),
    "suspend": ("pending running compensating", "suspended", (), {}),
    "resume": ("suspended failed", "running", (), {"has_begun": True}),
    "abandon": ("pending running compensating suspended failed", "abandoned", (), {"now": NOW}),
}

STEP: dict[str, tuple[str, str, tuple[Any, ...], dict[str, Any]]] = {
    "begin": ("pending waiting running", "running", (), {"now": NOW}),
    "park": ("pending running waiting", "waiting", (WaitsFor.RETRY,), {"due_at": NOW, "in_doubt": False}),
    "complete": ("running waiting unknown", "completed", (), {"now": NOW}),
    "answer": ("running", "pending", (True,), {}),
    "skip": ("pending running waiting failed unknown compensated", "skipped", (), {"now": NOW}),
    "fail": ("pending running waiting unknown", "failed", (), {"now": NOW}),
    # Of a pending step too: one that a person wanted tried again, when its key had expired meanwhile.
    "doubt": ("pending running waiting", "unknown", (), {"now": NOW}),
    "undo": ("completed unknown compensating", "compensating", (), {"now": NOW}),
    "undone": ("compensating", "compensated", (), {"now": NOW}),
    "undo_again": ("compensated", "compensating", (), {"now": NOW, "key": "k"}),
    "undo_failed": ("compensating", "compensation_failed", (), {"now": NOW}),
    "again": ("failed unknown compensation_failed", "", (), {"now": NOW}),
}


@pytest.mark.parametrize("transition", SAGA)
@pytest.mark.parametrize("status", SagaStatus)
def test_a_sagas_transitions_start_where_they_may(transition, status):
    sources, target, arguments, options = SAGA[transition]
    saga = Saga(status=status, input={})
    if status in sources.split():
        getattr(saga, transition)(*arguments, **options)
        assert saga.status == target
    else:
        with pytest.raises(TransitionNotAllowed):
            getattr(saga, transition)(*arguments, **options)
        assert saga.status == status


@pytest.mark.parametrize("transition", STEP)
@pytest.mark.parametrize("status", StepStatus)
def test_a_steps_transitions_start_where_they_may(transition, status):
    sources, target, arguments, options = STEP[transition]
    each = SagaStep(status=status)
    if status in sources.split():
        getattr(each, transition)(*arguments, **options)
        again = "compensating" if status == "compensation_failed" else "pending"
        assert each.status == (target or again)
    else:
        with pytest.raises(TransitionNotAllowed):
            getattr(each, transition)(*arguments, **options)
        assert each.status == status


@pytest.mark.parametrize(
    ("direction", "has_begun", "status"),
    [
        (Direction.FORWARD, True, "running"),
        (Direction.FORWARD, False, "pending"),
        (Direction.BACK, True, "compensating"),
        (Direction.BACK, False, "compensating"),
    ],
)
@pytest.mark.parametrize("rest", ["suspended", "failed"])
def test_a_saga_resumes_the_way_it_went(direction, has_begun, status, rest):
    saga = Saga(status=rest, direction=direction, input={}, attention="crash_loop")
    saga.resume(has_begun=has_begun)
    assert (saga.status, saga.attention) == (status, "")


@pytest.mark.parametrize("row", [Saga(input={}), SagaStep()])
def test_a_status_cannot_be_assigned(row):
    with pytest.raises(AttributeError, match="Direct status modification is not allowed"):
        row.status = "completed"
    assert row.status == "pending"


@pytest.mark.django_db
class TestReadingAnew:
    def test_a_saga_can_be_read_anew(self, define):
        saga = start(define(step("pay")), {})
        run_due()
        saga.refresh_from_db()
        assert (saga.status, saga.steps_done) == ("completed", 1)

    def test_so_can_its_steps(self, define):
        pay = start(define(step("pay")), {}).steps.get()
        run_due()
        pay.refresh_from_db()
        assert (pay.status, pay.attempts) == ("completed", 1)

    @pytest.mark.parametrize("fields", [["status"], ("status", "fence"), iter(["fence", "status"])])
    def test_the_status_alone_can_be_read_anew(self, define, fields):
        saga = start(define(step("pay")), {})
        run_due()
        saga.refresh_from_db(fields=fields)
        assert saga.status == "completed"
        assert saga.steps_done == 0

    def test_or_everything_but_the_status(self, define):
        saga = start(define(step("pay")), {})
        run_due()
        saga.refresh_from_db(fields=["steps_done"])
        assert (saga.status, saga.steps_done) == ("pending", 1)

    def test_a_status_that_was_not_loaded_is_when_it_is_asked_for(self, define):
        start(define(step("pay")), {})
        saga = Saga.objects.defer("status").get()
        assert saga.get_deferred_fields() == {"status"}
        run_due()
        assert saga.status == "completed"

    def test_after_it_was_read_it_is_still_protected(self, define):
        saga = start(define(step("pay")), {})
        saga.refresh_from_db()
        with pytest.raises(AttributeError):
            saga.status = "completed"

    def test_a_read_that_fails_leaves_the_status_as_it_was(self, define):
        saga = start(define(step("pay")), {})
        Saga.objects.filter(pk=saga.pk).delete()
        with pytest.raises(Saga.DoesNotExist):
            saga.refresh_from_db()
        assert saga.status == "pending"
        with pytest.raises(AttributeError):
            saga.status = "completed"
