"""A result counts only if it is the answer to the attempt that the rows are waiting for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sagas import OutcomeUnknown, Parallel, PermanentFailure, clock, start
from sagas.engine.functions import raised, returned, unsent
from sagas.models import HistoryKind, Saga, SagaStep
from sagas.states import Direction
from sagas.testing import advance, run_due, run_saga
from tests.engine.hands import Hand
from tests.samples import MINUTE, ONCE, SECOND, STEADY, history, statuses, step

pytestmark = pytest.mark.django_db

LOST = OutcomeUnknown("no answer in time")
NO = PermanentFailure("no")

TOLD = ("attention", "error", "error_class", "error_fingerprint", "revision", "updated_at")
"""What of a saga's row tells of a late effect."""


def rows(saga: Saga, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return everything that is stored of a saga and its steps."""
    own = {k: v for k, v in Saga.objects.filter(pk=saga.pk).values().get().items() if k not in without}
    return own | {"steps": list(SagaStep.objects.filter(saga=saga).order_by("id").values())}


def evidence(saga: Saga) -> list[tuple[str, str, int | None, dict[str, Any]]]:
    return [(e.step, e.direction, e.attempt, e.data) for e in history(saga, HistoryKind.EVIDENCE)]


@pytest.fixture
def overtaken(define, hand):
    """An attempt that was given up, and its saga at the second one, in the same hand."""
    saga = start(define(step("pay", retry=STEADY), step("send")), {})
    [first] = hand.take()
    hand.settle(raised(first, LOST, sent=0.0, ended=False))
    clock.shift(MINUTE)
    [second] = hand.take()
    return saga, first, second


def test_the_late_result_of_an_earlier_attempt_changes_nothing_but_leaves_a_trace(overtaken, hand):
    saga, first, _ = overtaken
    before = rows(saga, without=("revision", "updated_at"))
    hand.settle(returned(first, {"paid": "late"}, sent=0.0))

    assert rows(saga, without=("revision", "updated_at")) == before
    assert evidence(saga) == [
        ("pay", "forward", 1, {"outcome": "done", "class": "", "error": "", "result": {"paid": "late"}})
    ]


def test_the_saga_stays_in_the_hand_that_has_it(overtaken, hand):
    saga, first, second = overtaken
    assert hand.settle(returned(first, {}, sent=0.0)).let_go == set()
    hand.settle(returned(second, {}, sent=0.0))
    assert statuses(saga)["pay"] == "completed"


@pytest.mark.parametrize("order", ["late result first", "late result last"])
def test_a_late_result_does_not_harm_the_right_one_beside_it(overtaken, hand, order):
    saga, first, second = overtaken
    outcomes = [returned(first, {"n": 1}, sent=0.0), returned(second, {"n": 2}, sent=0.0)]
    hand.settle(*(outcomes if order == "late result first" else reversed(outcomes)))

    assert saga.steps.get(name="pay").result == {"n": 2}
    assert statuses(saga) == {"pay": "completed", "send": "running"}
    assert [each[:3] for each in evidence(saga)] == [("pay", "forward", 1)]


def test_a_trace_is_left_once_however_often_the_result_comes(overtaken, hand):
    saga, first, _ = overtaken
    for _ in range(3):
        hand.settle(returned(first, {}, sent=0.0))
    assert len(evidence(saga)) == 1


def test_the_same_answer_twice_counts_once(define, hand):
    saga = start(define(step("pay"), step("send")), {})
    done = hand.call(hand.take())
    hand.settle(*done)
    hand.settle(*done)
    assert statuses(saga) == {"pay": "completed", "send": "running"}
    assert saga.steps.get(name="send").attempts == 1


def test_of_an_attempt_that_was_never_sent_there_is_nothing_to_tell(overtaken, hand):
    saga, first, _ = overtaken
    before = rows(saga)
    hand.settle(unsent(first))
    assert rows(saga) == before
    assert evidence(saga) == []


def test_a_worker_that_was_replaced_writes_nothing_but_evidence(define, hand):
    saga = start(define(step("pay"), step("send")), {})
    [attempt] = hand.take()
    clock.shift(MINUTE)
    successor = Hand()
    successor.take()
    before = rows(saga, without=("revision", "updated_at"))

    settlement = hand.settle(returned(attempt, {"paid": 1}, sent=0.0))
    assert (settlement.attempts, settlement.let_go) == ([], {saga.pk})
    assert rows(saga, without=("revision", "updated_at")) == before
    assert [each[:3] for each in evidence(saga)] == [("pay", "forward", 1)]


@pytest.mark.parametrize("change", ["number", "direction", "step"])
def test_an_answer_that_fits_in_all_but_one_thing_does_not_fit(define, play, hand, change):
    saga = start(define(step("pay"), step("send")), {})
    [attempt] = hand.take()
    possible: dict[str, dict[str, Any]] = {
        "number": {"number": 2},
        "direction": {"direction": Direction.BACK},
        "step": {"step": step("send")},
    }
    before = rows(saga, without=("revision", "updated_at", "due_at"))
    hand.settle(returned(replace(attempt, **possible[change]), {}, sent=0.0))
    assert rows(saga, without=("revision", "updated_at", "due_at")) == before
    assert len(evidence(saga)) == 1


def test_an_answer_after_the_saga_was_let_go_does_not_fit(define, hand):
    saga = start(define(step("pay", retry=STEADY)), {})
    [attempt] = hand.take()
    hand.settle(raised(attempt, LOST, sent=0.0, ended=False))
    hand.settle(returned(attempt, {}, sent=0.0))
    assert statuses(saga) == {"pay": "waiting"}
    assert len(evidence(saga)) == 1


def test_an_answer_for_a_saga_that_is_gone_is_dropped(define, hand):
    saga = start(define(step("pay")), {})
    [attempt] = hand.take()
    Saga.objects.filter(pk=saga.pk).update(
        status="abandoned", due_at=None, held_by=None, ended_at=clock.database_now("default")
    )
    SagaStep.objects.filter(saga=saga).delete()
    hand.settle(returned(attempt, {}, sent=0.0))
    saga.refresh_from_db()
    assert saga.status == "abandoned"


@pytest.fixture
def undone(define, play, hand):
    """The answer of an attempt, and its saga: taken over, refused, undone, and ended since."""
    saga = start(define(step("pay", retry=STEADY), Parallel(step("send"))), {})
    [attempt] = hand.take()
    clock.shift(MINUTE)
    play.says("pay", NO)
    run_due()
    advance(2 * MINUTE)
    return saga, attempt


def test_an_effect_that_comes_after_its_undo_needs_a_person_also_when_the_saga_has_ended(undone, play, hand):
    saga, attempt = undone
    saga.refresh_from_db()
    assert (saga.status, saga.attention, play.calls) == ("compensated", "", ["pay", "undo pay"])
    before = rows(saga, without=TOLD)
    hand.settle(returned(attempt, {"paid": "late"}, sent=0.0))

    saga.refresh_from_db()
    assert rows(saga, without=TOLD) == before
    assert (saga.status, saga.attention, saga.error_class) == ("compensated", "late_effect", "LateEffect")
    assert saga.error == (f"attempt 1 at step 'pay' of saga {saga.pk} took effect after it was undone.")
    [(*which, data)] = evidence(saga)
    assert which == ["pay", "forward", 1]
    assert data["attention"] == "late_effect"
    assert data["result"] == {"paid": "late"}


@pytest.mark.parametrize("answer", [LOST, NO])
def test_a_late_answer_that_tells_of_no_effect_needs_nobody(undone, hand, answer):
    saga, attempt = undone
    hand.settle(raised(attempt, answer, sent=0.0))
    saga.refresh_from_db()
    assert saga.attention == ""
    assert len(evidence(saga)) == 1


def test_a_late_effect_does_not_stop_the_way_back(define, play, hand):
    definition = define(step("book", undo_retry=STEADY), step("pay", retry=ONCE))
    saga = start(definition, {})
    attempts = hand.settle(*hand.call(hand.take())).attempts
    clock.shift(MINUTE)
    play.says("pay", NO)
    play.says("undo book", LOST)
    run_due()
    advance(35 * SECOND)
    saga.refresh_from_db()
    assert play.calls == ["book", "pay", "undo pay", "undo book"]
    assert saga.status == "compensating"
    hand.settle(returned(attempts[0], {}, sent=0.0))
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("compensating", "late_effect")
    advance(MINUTE)
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("compensated", "late_effect")


def test_a_compensation_that_answers_twice_is_no_late_effect(define, play):
    definition = define(step("pay", undo_retry=STEADY), step("send"))
    play.says("send", NO)
    saga = start(definition, {})
    hand = Hand()
    attempts = hand.take()
    for _ in range(2):
        attempts = hand.settle(*hand.call(attempts)).attempts
    [undo] = attempts
    done = hand.call([undo])
    hand.settle(*done)
    hand.settle(*done)
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("compensated", "")


def test_a_saga_without_stragglers_has_no_evidence(define):
    assert evidence(run_saga(define(step("pay")), {})) == []
