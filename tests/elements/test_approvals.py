"""Waiting for somebody's decision."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User

from sagas import CONTINUE, Approval
from sagas.exceptions import OperationRefused
from sagas.operations.performing import perform
from sagas.testing import advance, run_due, run_saga
from tests.samples import HOUR, history, step

pytestmark = pytest.mark.django_db

PERMISSION = "sagas.retry_saga"


def approve(saga_id, **options):
    perform(saga_id, "approve", **options)


def reject(saga_id, **options):
    perform(saga_id, "reject", **options)


@pytest.fixture
def boss():
    user = User.objects.create_user("boss")
    user.user_permissions.add(Permission.objects.get(codename="retry_saga"))
    return user


def trip(define, **options):
    return define(step("book"), Approval(PERMISSION, timeout=HOUR, name="approve", **options), step("tell"))


def test_an_approved_saga_goes_on(define, play, boss):
    saga = run_saga(trip(define), {})
    assert (saga.status, saga.steps.get(name="approve").waits_for) == ("running", "approval")
    approve(saga.pk, by=boss, reason="fine")
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("completed", ["book", "tell"])
    assert play.context("tell").results["approve"] == {"by": "boss", "reason": "fine"}
    assert [(entry.operation, entry.actor) for entry in history(saga, "act")] == [("approve", "boss")]


def test_a_rejected_one_turns_back(define, play, boss):
    saga = run_saga(trip(define), {})
    reject(saga.pk, by=boss, reason="too much")
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.error_class, play.calls) == ("compensated", "Rejected", ["book", "undo book"])


@pytest.mark.parametrize(
    ("options", "status"), [({}, "compensated"), ({"on_timeout": CONTINUE}, "completed")]
)
def test_when_nobody_decides(define, options, status):
    saga = run_saga(trip(define, **options), {})
    advance(HOUR)
    saga.refresh_from_db()
    assert saga.status == status


@pytest.mark.parametrize(("name", "options", "code"), [
    ("nobody", {}, "permission_denied"),
    ("boss", {"by": "boss"}, "own_saga"),
])  # fmt: skip
def test_who_may_not_decide(define, boss, name, options, code):
    User.objects.create_user("nobody")
    saga = run_saga(trip(define), {}, **options)
    with pytest.raises(OperationRefused) as refusal:
        approve(saga.pk, by=User.objects.get(username=name))
    assert refusal.value.code == code
    assert [entry.data for entry in history(saga, "refusal")] == [{"code": code}]


def test_whoever_started_it_may_where_the_definition_says_so(define, boss):
    saga = run_saga(trip(define, not_by_initiator=False), {}, by=boss)
    approve(saga.pk, by=boss)


def test_a_saga_that_does_not_wait_for_it(define, play, boss):
    saga = run_saga(define(step("book")), {})
    with pytest.raises(OperationRefused, match="waits for no approval"):
        approve(saga.pk, by=None)


def test_of_two_decisions_the_first_counts(define, boss):
    saga = run_saga(trip(define), {})
    approve(saga.pk, by=boss)
    with pytest.raises(OperationRefused, match="decided already"):
        reject(saga.pk, by=boss)
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"
