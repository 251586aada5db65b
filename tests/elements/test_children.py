"""Sagas as steps of sagas."""

from __future__ import annotations

import pytest
from django.db import connection

from sagas import CONTINUE, PermanentFailure, RetryLater, SubSaga, SubSagas, start, start_many
from sagas.engine.errands import forgotten, nudge, sweep
from sagas.keys import child_id
from sagas.models import Saga, SagaFact
from sagas.operations.performing import perform
from sagas.testing import run_due, run_saga
from tests.engine.hands import Hand
from tests.engine.statements import statements
from tests.samples import HOUR, OrderInput, statuses, step

pytestmark = pytest.mark.django_db


@pytest.fixture
def pay_out(define):
    return define(step("pay"), input=OrderInput, name="samples.pay_out", undo_after_completion=True)


def payroll(pay_out, number, **options):
    return SubSagas(pay_out, inputs=lambda ctx: [{"order_id": str(n)} for n in range(number)], **options)


def test_a_child_is_started_and_awaited(define, play, pay_out):
    play.always("pay", lambda ctx: {"paid": ctx.input["order_id"]})
    child = SubSaga(pay_out, input=lambda ctx: {"order_id": "7"})
    saga = run_saga(define(child, step("tell")), {})
    assert (saga.status, play.calls) == ("completed", ["pay", "tell"])
    born = saga.children.get()
    assert (born.pk, born.parent_step, born.status) == (child_id(saga.pk, "pay_out"), "pay_out", "completed")
    assert born.correlation_id == saga.correlation_id
    result = play.context("tell").results["pay_out"]
    assert result == {"saga": str(born.pk), "results": {"pay": {"paid": "7"}}}


def test_a_child_that_failed_turns_its_parent_back(define, play, pay_out):
    play.always("pay", PermanentFailure("no"))
    child = SubSaga(pay_out, input=lambda ctx: {"order_id": "7"})
    saga = run_saga(define(step("book"), child), {})
    assert (saga.status, play.calls) == ("compensated", ["book", "pay", "undo book"])
    assert statuses(saga)["pay_out"] == "failed"


def test_a_completed_child_is_undone_with_its_parent(define, play, pay_out):
    play.always("tell", PermanentFailure("no"))
    child = SubSaga(pay_out, input=lambda ctx: {"order_id": "7"})
    saga = run_saga(define(step("book"), child, step("tell")), {})
    assert play.calls == ["book", "pay", "tell", "undo pay", "undo book"]
    assert (saga.status, saga.children.get().status) == ("compensated", "compensated")


def test_what_an_abandoned_child_did_is_not_said_to_be_undone(define, play, pay_out):
    play.always("undo pay", PermanentFailure("too late"))
    play.always("tell", PermanentFailure("no"))
    child = SubSaga(pay_out, input=lambda ctx: {"order_id": "7"})
    saga = run_saga(define(step("book"), child, step("tell")), {})
    assert (saga.status, saga.children.get().attention) == ("compensating", "compensation_failed")
    perform(saga.children.get().pk, "abandon", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("failed", "compensation_failed")
    assert (statuses(saga)["book"], saga.error_class) == ("completed", "ChildAbandoned")


def test_a_completed_child_that_nobody_told_it_is_called_back_is_found(define, play, pay_out, monkeypatch):
    play.always("tell", PermanentFailure("no"))
    child = SubSaga(pay_out, input=lambda ctx: {"order_id": "7"})
    with monkeypatch.context() as dying:
        dying.setattr("sagas.engine.errands._take_back", lambda saga_id: None)
        saga = run_saga(define(child, step("tell")), {})
    assert (saga.status, saga.children.get().status) == ("compensating", "completed")
    run_due()
    assert saga.children.get().status == "compensated"
    assert Saga.objects.get(pk=saga.pk).status == "compensated"


def test_a_payroll_of_a_thousand(define, play, pay_out):
    saga = run_saga(define(payroll(pay_out, 1000)), {})
    assert saga.status == "completed"
    assert saga.steps.get().result == {"completed": 1000}
    assert len(set(Saga.objects.filter(parent=saga).values_list("pk", flat=True))) == 1000


def test_of_nobody(define, play, pay_out):
    saga = run_saga(define(payroll(pay_out, 0)), {})
    assert (saga.status, saga.steps.get().result) == ("completed", {})


def fails_for(*orders):
    def act(ctx):
        if ctx.input["order_id"] in orders:
            raise PermanentFailure("no")
        return {}

    return act


def test_one_of_many_fails_and_the_others_are_undone(define, play, pay_out):
    play.always("pay", fails_for("3"))
    saga = run_saga(define(step("book"), payroll(pay_out, 5)), {})
    assert saga.status == "compensated"
    assert set(saga.children.values_list("status", flat=True)) == {"compensated"}
    assert play.calls.count("undo pay") == 4
    assert play.calls[-1] == "undo book"


def test_one_of_many_fails_and_the_rest_goes_on(define, play, pay_out):
    play.always("pay", fails_for("3"))
    saga = run_saga(define(payroll(pay_out, 5, on_failed=CONTINUE)), {})
    assert (saga.status, saga.steps.get().result) == ("completed", {"compensated": 1, "completed": 4})


def test_when_one_of_many_fails_the_others_are_called_back_at_once(define, play, pay_out):
    def act(ctx):
        raise PermanentFailure("no") if ctx.input["order_id"] == "1" else RetryLater("busy", delay=HOUR)

    play.always("pay", act)
    saga = run_saga(define(payroll(pay_out, 3)), {})  # No clock is moved.
    assert saga.status == "compensated"
    assert set(saga.children.values_list("status", flat=True)) == {"compensated"}


def test_an_input_the_child_refuses_fails_the_step(define, play, pay_out):
    child = SubSaga(pay_out, input=lambda ctx: {"wrong": "7"})
    saga = run_saga(define(child), {})
    assert (saga.status, saga.steps.get().error_class) == ("running", "InputRefused")


def test_a_parent_that_turns_back_calls_back_a_child_at_work(define, play, pay_out):
    play.says("pay", ValueError("not yet"))
    child = SubSaga(pay_out, input=lambda ctx: {"order_id": "7"})
    saga = run_saga(define(step("book"), child), {})
    assert saga.status == "running"
    perform(saga.pk, "compensate", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.children.get().status) == ("compensated", "compensated")
    assert play.calls == ["book", "pay", "undo pay", "undo book"]


def test_children_that_are_born_as_their_parent_turns_back_are_called_back_at_once(define, play, pay_out):
    hand = Hand()
    child = SubSaga(pay_out, input=lambda ctx: {"order_id": "7"})
    saga = start(define(child), {})
    asked_for_input = hand.take()
    perform(saga.pk, "compensate", by=None)
    hand.settle(*hand.call(asked_for_input))
    run_due()  # No clock is moved.
    saga.refresh_from_db()
    assert (saga.status, saga.children.get().status) == ("compensated", "compensated")
    assert play.calls == []


@pytest.mark.parametrize("ending", ["compensated", "abandoned"])
@pytest.mark.parametrize("nobody_says_so", [False, True])
def test_a_child_that_ends_as_it_is_called_back_has_nothing_left_to_do(
    define, play, pay_out, ending, nobody_says_so
):
    play.always("tell", PermanentFailure("no"))
    if ending == "abandoned":
        play.always("undo pay", PermanentFailure("too late"))
    child = SubSaga(pay_out, input=lambda ctx: {"order_id": "7"})
    born = run_saga(define(child, step("tell")), {}).children.get()
    if ending == "abandoned":
        perform(born.pk, "abandon", by=None)
    assert Saga.objects.get(pk=born.pk).status == ending
    # What its parent leaves when it sees it at work, and commits when it has ended.
    SagaFact.objects.create(saga=born, kind="turn_back", source="parent:9")
    if nobody_says_so:
        sweep()
    else:
        nudge({born.pk})
    assert not born.facts.filter(applied_at=None).exists()
    assert not forgotten().filter(pk=born.pk).exists()


@pytest.mark.parametrize("number", [1, 10])
def test_calling_children_back_asks_no_more_of_the_database_where_they_are_many(
    define, play, pay_out, number
):
    play.always("tell", PermanentFailure("no"))
    child = SubSaga(pay_out, input=lambda ctx: {"order_id": ctx.key})
    family = define(child, step("tell"), key="{order_id}", input=OrderInput)
    parents = start_many(family, [{"order_id": str(n)} for n in range(number)])
    hand = Hand()
    outcomes = hand.call(hand.take())
    while outcomes[0].attempt.step.name != "tell":
        hand.settle(*outcomes, begin=False)
        outcomes = hand.call(hand.take())
    with statements() as asked:
        hand.settle(*outcomes)
    children = Saga.objects.filter(parent__in=parents)
    assert list(children.values_list("status", flat=True)) == ["compensating"] * number
    assert len(asked) == (10 if connection.vendor == "postgresql" else 14), asked
