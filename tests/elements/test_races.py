"""Two that could miss each other, on connections of their own and in every order."""

from __future__ import annotations

from datetime import timedelta
from threading import Thread

import pytest
from django.db import connection, transaction

from sagas import REFUSE, Participant, WaitForEvent, offer, start, start_many
from sagas.engine import inbox, mutexes
from sagas.engine.attempts import Attempt
from sagas.engine.errands import nudge, run_pending
from sagas.engine.recovery import give_back
from sagas.exceptions import LockHeld
from sagas.models import Permit, Saga, SemanticLock
from sagas.testing import run_due
from tests.engine.hands import Hand
from tests.engine.test_races import at_once
from tests.samples import HOUR, OrderInput, postgresql_only, step

pytestmark = pytest.mark.django_db(transaction=True)

ORDERS = ["first", "second", "at once", "at once", "at once"]


def do(order, one, other):
    match order:
        case "first":
            one(), other()
        case "second":
            other(), one()
        case _:
            at_once(one, other)


@pytest.mark.parametrize("order", ORDERS)
def test_entering_a_wait_and_delivering_its_event_never_miss_each_other(define, order):
    wait = WaitForEvent("picked.up", correlate="{order_id}", timeout=HOUR, name="pickup")
    definition = define(step("book"), wait, input=OrderInput)
    saga = start(definition, {"order_id": "7"})
    hand = Hand()
    outcomes = hand.call(hand.take())
    offer("picked.up", {}, key="7")
    do(order, lambda: hand.settle(*outcomes), run_pending)
    for claimed in iter(Hand().claim, None):
        if not claimed.moved:
            break
    saga.refresh_from_db()
    assert saga.status == "completed"


@postgresql_only
@pytest.mark.parametrize("order", ORDERS)
def test_a_time_out_and_its_event_come_to_one_thing(define, order):
    wait = WaitForEvent("picked.up", correlate="{order_id}", timeout=HOUR, name="pickup", pivot=True)
    saga = start(define(step("book"), wait, input=OrderInput), {"order_id": "7"})
    run_due()
    Saga.objects.filter(pk=saga.pk).update(due_at=saga.created_at)
    saga.steps.filter(name="pickup").update(due_at=saga.created_at)
    offer("picked.up", {}, key="7")
    do(order, lambda: Hand().claim(), run_pending)
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed" or saga.attention == "late_event"


@postgresql_only
@pytest.mark.parametrize("act", ["the wait begins", "the event is delivered", "its time is up"])
def test_whoever_touches_a_wait_takes_its_mutex(define, act):
    wait = WaitForEvent("picked.up", correlate="{order_id}", timeout=HOUR, name="pickup")
    saga = start(define(wait, input=OrderInput), {"order_id": "7"})
    if act != "the wait begins":
        run_due()
    if act == "the event is delivered":
        offer("picked.up", {}, key="7")
    if act == "its time is up":
        Saga.objects.filter(pk=saga.pk).update(due_at=saga.created_at)
        saga.steps.update(due_at=saga.created_at)

    def touch() -> None:
        run_pending()
        Hand().claim()
        connection.close()

    other = Thread(target=touch)
    with transaction.atomic():
        mutexes.take("default", ["event:picked.up:7"])
        other.start()
        other.join(0.3)
        assert other.is_alive()
    other.join(20)
    assert not other.is_alive()


@pytest.mark.parametrize("order", ORDERS)
def test_the_end_of_a_lock_and_the_next_in_its_queue_never_miss_each_other(define, order):
    definition = define(step("book"), input=OrderInput, locks=["order:{order_id}"])
    first = start(definition, {"order_id": "7"})
    hand = Hand()
    outcomes = hand.call(hand.take())
    second = start(definition, {"order_id": "7"})
    do(order, lambda: hand.settle(*outcomes), lambda: Hand().claim())
    first.refresh_from_db()
    assert first.status == "completed"
    Saga.objects.filter(pk=second.pk, held_by__isnull=False).update(due_at=second.created_at)
    run_due()
    second.refresh_from_db()
    assert second.status == "completed"
    assert not SemanticLock.objects.exists()


@pytest.mark.parametrize("order", ORDERS)
def test_a_late_worker_and_the_one_that_takes_over_from_it_never_both_count(define, order):
    saga = start(define(step("book"), step("pay")), {})
    late, other = Hand(), Hand()
    outcomes = late.call(late.take())
    Saga.objects.filter(pk=saga.pk).update(due_at=saga.created_at)
    taken: list[Attempt] = []
    do(order, lambda: late.settle(*outcomes), lambda: taken.extend(other.take()))
    book, pay = saga.steps.order_by("stage")
    if taken:
        assert (book.status, book.attempts, pay.status) == ("running", 2, "pending")
        other.settle(*other.call(taken))
    else:
        assert (book.status, book.attempts, pay.status) == ("completed", 1, "running")
    late.settle(*outcomes)  # It is told again: by now it is evidence at most.
    saga.refresh_from_db()
    assert [(each.status, each.attempts) for each in saga.steps.order_by("stage")][1] == ("running", 1)
    assert (saga.held_by, saga.fence) == ((other.id, 2) if taken else (late.id, 1))


@pytest.mark.parametrize("order", ORDERS)
def test_who_takes_over_keeps_what_others_recover_from_the_dead(define, order):
    saga = start(define(step("book")), {})
    dead, other = Hand(), Hand()
    dead.take()
    Saga.objects.filter(pk=saga.pk).update(due_at=saga.created_at)
    taken: list[Attempt] = []
    do(order, lambda: give_back([dead.id]), lambda: taken.extend(other.take()))
    taken += other.take()  # One that was being given back was passed by.
    assert len(taken) == 1
    assert Hand().take() == []
    saga.refresh_from_db()
    assert (saga.held_by, saga.steps.get().crashes) == (other.id, 1)


@postgresql_only
@pytest.mark.parametrize("commits", [True, False])
def test_who_does_not_wait_for_a_lock_waits_for_nobodys_transaction(define, monkeypatch, commits):
    monkeypatch.setattr("sagas.engine.admission.PATIENCE", timedelta(milliseconds=50))
    definition = define(step("book"), input=OrderInput, locks=["order:{order_id}"], on_locked=REFUSE)
    with transaction.atomic():
        first = start(definition, {"order_id": "7"})
        [second] = at_once(lambda: start(definition, {"order_id": "7"}))
        assert isinstance(second, LockHeld)
        assert second.holder is None
        transaction.set_rollback(not commits)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        before = cursor.fetchone()
        if commits:
            with pytest.raises(LockHeld, match=f"saga {first.pk} holds"):
                start(definition, {"order_id": "7"})
        else:
            start(definition, {"order_id": "7"})
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == before


def test_a_limit_holds_over_workers_that_claim_at_once(define):
    start_many(define(step("pay", participant=Participant("bank", limit=5))), [{}] * 40)
    hands = [Hand() for _ in range(4)]
    taken = at_once(*(lambda hand=hand: hand.take(limit=10) for hand in hands))
    assert sum(len(attempts) for attempts in taken) == Permit.objects.count() == 5


def test_an_event_is_delivered_once_however_many_deliver(define):
    wait = WaitForEvent("picked.up", correlate="{order_id}", timeout=HOUR, name="pickup")
    saga = start(define(wait, input=OrderInput), {"order_id": "7"})
    run_due()
    offer("picked.up", {}, key="7")
    told = at_once(*[inbox.deliver] * 4)
    assert any(told)
    nudge({saga.pk})
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.facts.count()) == ("completed", 1)
