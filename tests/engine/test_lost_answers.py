"""What became of a COMMIT that was not answered is looked up, and nothing is lost or doubled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import (
    OperationalError,
    connection,
    connections,
)

from sagas import PermanentFailure, RetryLater, start, start_many
from sagas.models import HistoryKind, Saga, SagaStep
from sagas.states import AT_WORK
from tests.engine.hands import Hand
from tests.samples import STEADY, history, statuses, step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.parametrize("when", ["before", "after"])]

LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def lose_answer():
    """Loses the answer to the next COMMIT, before or after the database carried it out."""
    wrapper: Any = connections["default"]

    def lose(when: str, *, meanwhile: Callable[[], object] = lambda: None) -> None:
        def commit_without_answer() -> None:
            del wrapper.commit
            if when == "after":
                wrapper._commit()
            wrapper.connection.close()
            meanwhile()
            raise OperationalError("the connection was lost")

        wrapper.commit = commit_without_answer

    yield lose
    wrapper.__dict__.pop("commit", None)


def test_a_claim_is_neither_lost_nor_doubled(define, hand, lose_answer, when):
    sagas = start_many(define(step("pay")), [{}] * 3)
    free = hand.slots.free
    lose_answer(when)
    attempts = hand.take()

    assert {attempt.held.id for attempt in attempts} == {saga.pk for saga in sagas}
    assert {attempt.number for attempt in attempts} == {1}
    assert set(Saga.objects.values_list("fence", "held_by")) == {(1, hand.id)}
    assert set(SagaStep.objects.values_list("status", "attempts", "crashes")) == {("running", 1, 0)}
    assert hand.slots.free == free - 3
    hand.settle(*hand.call(attempts))
    assert Saga.objects.filter(status="completed").count() == 3


def test_a_settlement_is_neither_lost_nor_doubled(define, play, hand, lose_answer, when):
    definition = define(step("pay"), step("send"))
    play.always("pay", {"paid": True})
    sagas = start_many(definition, [{}] * 3)
    outcomes = hand.call(hand.take())
    lose_answer(when)
    settlement = hand.settle(*outcomes)

    assert {attempt.held.id for attempt in settlement.attempts} == {saga.pk for saga in sagas}
    assert {attempt.number for attempt in settlement.attempts} == {1}
    for saga in sagas:
        assert statuses(saga) == {"pay": "completed", "send": "running"}
        assert saga.steps.get(name="pay").result == {"paid": True}
        assert not history(saga, HistoryKind.EVIDENCE)
    hand.settle(*hand.call(settlement.attempts))
    assert not Saga.objects.filter(status__in=AT_WORK).exists()
    assert play.calls == ["pay"] * 3 + ["send"] * 3


def test_a_group_of_atomic_steps_is_neither_lost_nor_doubled(define, play, hand, lose_answer, when):
    start_many(define(step("pay", atomic=True)), [{}] * 3)
    free = hand.slots.free
    group = hand.take()
    lose_answer(when)
    if when == "before":
        with pytest.raises(OperationalError):
            hand.perform(group)
        assert hand.slots.free == free - 3  # They are made again.
    hand.perform(group)

    assert hand.slots.free == free
    assert Saga.objects.filter(status="completed").count() == 3


def test_the_settlement_of_a_compensation_that_waits_is_not_lost(define, play, hand, lose_answer, when):
    play.says("send", PermanentFailure("no"))
    play.says("undo pay", RetryLater("busy"))
    saga = start(define(step("pay", undo_retry=STEADY), step("send")), {})
    attempts = hand.take()
    for _ in range(2):
        attempts = hand.settle(*hand.call(attempts)).attempts
    outcomes = hand.call(attempts)
    lose_answer(when)
    hand.settle(*outcomes)

    pay = saga.steps.get(name="pay")
    assert (pay.status, pay.undo_attempts) == ("compensating", 1)
    assert pay.due_at is not None
    saga.refresh_from_db()
    assert saga.held_by is None


def test_a_settlement_that_ends_a_saga_is_neither_lost_nor_doubled(define, play, hand, lose_answer, when):
    play.says("pay", PermanentFailure("no"))
    saga = start(define(step("pay")), {})
    outcomes = hand.call(hand.take())
    lose_answer(when)
    settlement = hand.settle(*outcomes)

    saga.refresh_from_db()
    assert (saga.status, settlement.let_go) == ("compensated", {saga.pk})
    assert [(entry.kind, entry.to_status) for entry in history(saga)] == [
        ("status", "running"),
        ("attempt", ""),
        ("status", "compensating"),
        ("status", "compensated"),
    ]


def test_who_has_to_know_is_told_all_the_same(define, alarms, hand, lose_answer, when):
    saga = start(define(step("pay")), {})
    outcomes = hand.call(hand.take())
    lose_answer(when)
    hand.settle(*outcomes)
    assert alarms.completed == [saga.pk]


def test_what_another_worker_did_since_is_not_undone(define, hand, lose_answer, when):
    saga = start(define(step("pay")), {})
    other = Hand()

    def take_over() -> None:
        Saga.objects.filter(pk=saga.pk).update(held_by=other.id, fence=5, due_at=LATER)
        connection.close()

    def elsewhere() -> None:
        thread = threading.Thread(target=take_over)
        thread.start()
        thread.join()

    lose_answer(when, meanwhile=elsewhere)
    assert hand.take() == []
    saga.refresh_from_db()
    assert (saga.held_by, saga.fence) == (other.id, 5)
