"""Who has to know is told, once, after the commit."""

from __future__ import annotations

import logging

import pytest
from django.db import transaction

from sagas import HALT, OutcomeUnknown, PermanentFailure, RetryLater, clock, start
from sagas.engine.functions import returned
from sagas.operations.performing import perform
from sagas.signals import saga_completed, saga_needs_attention
from sagas.testing import run_due, run_saga
from tests.engine.hands import Hand
from tests.samples import MINUTE, ONCE, step

pytestmark = pytest.mark.django_db

NO = PermanentFailure("no")
LOST = OutcomeUnknown("no answer")


def test_a_completed_saga_is_announced(define, alarms, committing):
    with committing():
        saga = run_saga(define(step("book"), step("pay")), {})
    assert alarms.heard() == {"completed": [saga.pk]}


def test_a_compensated_saga_is_announced(define, play, alarms, committing):
    play.says("pay", NO)
    with committing():
        saga = run_saga(define(step("book"), step("pay")), {})
    assert alarms.heard() == {"compensated": [saga.pk]}


@pytest.mark.parametrize(
    ("elements", "answers", "attention", "error"),
    [
        ([step("a", retry=ONCE, on_exhausted=HALT)], {"a": RetryLater("busy")}, "step_exhausted", "busy"),
        (
            [step("a"), step("b")],
            {"b": NO, "undo a": PermanentFailure("gone")},
            "compensation_failed",
            "gone",
        ),
        ([step("a", pivot=True, retry=ONCE)], {"a": LOST}, "unknown_outcome", "no answer"),
        ([step("a", pivot=True), step("b", undo=False)], {"b": NO}, "past_pivot", "no"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_saga_that_needs_a_person_calls_one(
    define, play, alarms, committing, elements, answers, attention, error
):
    for call, answer in answers.items():
        play.always(call, answer)
    with committing():
        saga = run_saga(define(*elements), {})

    assert (saga.status, saga.attention) == ("failed", attention)
    assert alarms.heard() == {
        "attention": [(saga.pk, attention)],
        "alerts": [(saga.pk, attention, f"{saga} needs attention: {error}")],
    }


def test_drift_calls_a_person(define, play, alarms, committing):
    saga = start(define(step("a"), step("b")), {})
    define(step("a"), version=2)
    with committing():
        run_due()
    assert alarms.attention == [(saga.pk, "definition_drift")]


def test_a_late_effect_calls_a_person(define, play, alarms, committing, hand):
    definition = define(step("pay", retry=ONCE))
    start(definition, {})
    [attempt] = hand.take()
    clock.shift(MINUTE)
    play.says("pay", NO)
    run_due()
    clock.shift(MINUTE)
    run_due()
    with committing():
        hand.settle(returned(attempt, {}, sent=0.0))
    assert [attention for _, attention in alarms.attention] == ["late_effect"]
    assert len(alarms.alerts) == 1


def test_each_time_it_is_halted_it_calls_again(define, play, alarms, committing):
    play.says("a", LOST, LOST)
    definition = define(step("a", pivot=True, retry=ONCE))
    with committing():
        saga = run_saga(definition, {})
    with committing():
        perform(saga.pk, "retry", by=None)
        run_due()
    assert len(alarms.alerts) == 2


def test_nobody_is_told_what_was_rolled_back(define, alarms, committing):
    with committing(), transaction.atomic():
        run_saga(define(step("a")), {})
        transaction.set_rollback(True)
    assert alarms.completed == []


def test_by_default_an_alert_is_an_error_in_the_log(define, play, committing, caplog):
    play.says("a", LOST)
    with committing(), caplog.at_level(logging.ERROR, "sagas.attention"):
        saga = run_saga(define(step("a", pivot=True, retry=ONCE)), {})
    [record] = [each for each in caplog.records if each.name == "sagas.attention"]
    assert record.levelno == logging.ERROR
    assert record.getMessage() == f"{saga} needs attention: no answer"
    assert record.__dict__["saga_id"] == saga.pk
    assert record.__dict__["attention"] == "unknown_outcome"


def stumble(*args: object, **kwargs: object) -> None:
    raise RuntimeError("the receiver is broken")


def test_a_receiver_that_raises_changes_nothing(define, play, alarms, committing):
    for signal in (saga_completed, saga_needs_attention):
        signal.connect(stumble)
    try:
        with committing():
            done = run_saga(define(step("a")), {})
    finally:
        for signal in (saga_completed, saga_needs_attention):
            signal.disconnect(stumble)
    assert done.status == "completed"
    assert alarms.completed == [done.pk]


@pytest.mark.parametrize("alert", [f"{__name__}.stumble", "nowhere.to_be_found"])
def test_an_alert_that_raises_changes_nothing(define, play, settings, alarms, committing, alert):
    settings.SAGAS = settings.SAGAS | {"ALERT": alert}
    play.says("a", LOST)
    definition = define(step("a", pivot=True, retry=ONCE))
    with committing():
        halted = run_saga(definition, {})
    assert halted.status == "failed"
    assert alarms.attention == [(halted.pk, "unknown_outcome")]
    assert Hand().take() == []
