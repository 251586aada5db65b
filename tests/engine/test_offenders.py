"""One saga whose outcome the database refuses does not hold up the others that are settled with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from sagas import Parallel, PermanentFailure, RetryLater, start, start_many
from sagas.clock import database_now
from sagas.engine.attempts import Settled
from sagas.engine.functions import returned
from sagas.models import Saga
from sagas.testing import run_due, run_saga
from tests.samples import ONCE, STEADY, statuses, step

pytestmark = pytest.mark.django_db

POISON = {"text": "poison \x00"}
"""PostgreSQL stores no NUL."""


@pytest.fixture(autouse=True)
def refusing_database(db):
    """SQLite stores anything, so it is told what to refuse."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TRIGGER refuse_poison BEFORE UPDATE ON sagas_sagastep "
                "WHEN NEW.result LIKE '%poison%' BEGIN SELECT RAISE(ABORT, 'poison'); END"
            )


def poisoned(settled: Settled) -> Settled:
    """Return the outcome with a result that slipped through the gate."""
    return replace(settled, result=POISON)


@pytest.mark.parametrize("number", [1, 2, 7])
@pytest.mark.parametrize("place", ["first", "last"])
def test_the_offender_is_halted_and_the_others_go_on(define, hand, number, place):
    start_many(define(step("pay"), step("send")), [{}] * number)
    outcomes = hand.call(hand.take())
    offender = 0 if place == "first" else number - 1
    outcomes[offender] = poisoned(outcomes[offender])
    settlement = hand.settle(*outcomes)

    saga = Saga.objects.get(pk=outcomes[offender].attempt.held.id)
    assert (saga.status, saga.attention) == ("failed", "unknown_outcome")
    assert statuses(saga) == {"pay": "unknown", "send": "pending"}
    assert saga.error == (f"attempt 1 at step 'pay' of saga {saga.pk} came to done, but could not be stored.")
    assert (saga.held_by, saga.due_at) == (None, None)
    assert saga.pk in settlement.let_go
    assert {attempt.step.name for attempt in settlement.attempts} == ({"send"} if number > 1 else set())
    assert len(settlement.attempts) == number - 1


def test_two_offenders_are_found_one_by_one(define, hand):
    start_many(define(step("pay")), [{}] * 8)
    outcomes = hand.call(hand.take())
    for offender in (2, 3):
        outcomes[offender] = poisoned(outcomes[offender])
    hand.settle(*outcomes)
    assert Saga.objects.filter(status="failed", attention="unknown_outcome").count() == 2
    assert Saga.objects.filter(status="completed").count() == 6


def test_an_offender_of_a_compensation_is_halted_as_such(define, play, hand):
    play.says("send", PermanentFailure("no"))
    saga = start(define(step("pay"), step("send")), {})
    attempts = hand.take()
    for _ in range(2):
        attempts = hand.settle(*hand.call(attempts)).attempts
    # A compensation stores no result; what is refused is told with its error.
    [settled] = hand.call(attempts)
    with connection.cursor() as cursor:
        _refuse_compensated(cursor)
    hand.settle(settled)
    saga.refresh_from_db()
    assert (saga.status, saga.direction) == ("failed", "back")
    assert statuses(saga)["pay"] == "compensation_failed"


def _refuse_compensated(cursor: Any) -> None:
    if connection.vendor == "sqlite":
        cursor.execute(
            "CREATE TRIGGER refuse_undone BEFORE UPDATE ON sagas_sagastep WHEN NEW.status = 'compensated' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    else:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "ALTER TABLE sagas_sagastep ADD CONSTRAINT never CHECK (status <> 'compensated') NOT VALID"
        )


def test_the_offenders_siblings_in_flight_are_awaited(define, hand):
    saga = start(define(Parallel(step("pay"), step("pack"))), {})
    pay, pack = hand.take()
    settlement = hand.settle(poisoned(returned(pay, {}, sent=0.0)))
    saga.refresh_from_db()
    assert (saga.status, saga.held_by) == ("running", hand.id)
    assert settlement.let_go == set(), "The saga has an attempt in flight, so its lease has to be renewed."

    hand.settle(returned(pack, {}, sent=0.0))
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("failed", "unknown_outcome")
    assert statuses(saga) == {"pay": "unknown", "pack": "completed"}


def test_slots_that_were_reserved_in_vain_are_free_again(define, hand):
    start_many(define(step("pay"), step("send")), [{}] * 4)
    before = hand.slots.free
    outcomes = hand.call(hand.take())
    outcomes[1] = poisoned(outcomes[1])
    settlement = hand.settle(*outcomes)
    assert hand.slots.free == before - len(settlement.attempts)


@pytest.mark.parametrize("delay", [timedelta.max, timedelta(days=3_000_000), timedelta.min, 30, "soon"])
def test_a_step_that_asks_for_an_impossible_delay_holds_up_nobody(define, play, delay):
    definition = define(step("pay", retry=STEADY))
    play.says("pay", lambda ctx: (_ for _ in ()).throw(RetryLater("busy", delay=delay)))
    saga = start(definition, {})
    other = start(definition, {})
    run_due()
    for each in (saga, other):
        each.refresh_from_db()
    assert {saga.status, other.status} <= {"running", "completed"}
    assert "completed" in {saga.status, other.status}


def test_an_error_class_with_an_endless_name_is_stored(define, play):
    endless = type("E" * 300, (Exception,), {})
    play.says("pay", endless("?"))
    saga = run_saga(define(step("pay", retry=ONCE)), {})
    assert saga.status == "compensated"
    assert saga.error_class == "E" * 200


def test_a_saga_that_cannot_be_claimed_holds_up_nobody(define, hand):
    poison, *others = start_many(define(step("pay")), [{}] * 5)
    with connection.cursor() as cursor:
        _refuse_to_begin(cursor, poison)
    assert {attempt.held.id for attempt in hand.take()} == {saga.pk for saga in others}

    poison.refresh_from_db()
    assert (poison.status, poison.held_by, poison.fence) == ("pending", None, 0)
    assert poison.due_at is not None
    assert poison.due_at > database_now("default")
    assert poison.error.startswith("The saga cannot be claimed: ")
    assert hand.slots.free == 2000 - len(others)


def _refuse_to_begin(cursor: Any, saga: Saga) -> None:
    condition = f"OLD.id = '{saga.pk.hex}' AND NEW.status = 'running'"
    if connection.vendor == "sqlite":
        cursor.execute(
            f"CREATE TRIGGER refuse BEFORE UPDATE ON sagas_saga WHEN {condition} "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
        return
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    cursor.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused' "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    cursor.execute(
        f"CREATE TRIGGER refuse BEFORE UPDATE ON sagas_saga FOR EACH ROW WHEN ({condition}) "
        "EXECUTE FUNCTION refuse()"
    )
