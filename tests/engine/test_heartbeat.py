"""A lease is renewed while its runner lives and its attempts may, and never by one who lost it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from time import monotonic

import pytest
from django.db import connection, transaction
from django.db.models import F
from django_q.models import OrmQ

from sagas import clock, start, start_many
from sagas.clock import database_now
from sagas.engine import heartbeat
from sagas.engine.attempts import Attempt
from sagas.engine.functions import returned
from sagas.engine.heartbeat import Heartbeat, renew
from sagas.models import Saga, Worker
from tests.engine.hands import LEASE, Hand
from tests.samples import MINUTE, SECOND, postgresql_only, step

pytestmark = pytest.mark.django_db


def due(saga: Saga) -> datetime:
    saga.refresh_from_db()
    assert saga.due_at is not None
    return saga.due_at


def is_renewed(saga: Saga) -> bool:
    """Say whether the lease runs a whole lease from now."""
    return due(saga) - database_now("default") > LEASE - 5 * SECOND


@pytest.fixture
def held(define, hand):
    """A saga in a hand, some of whose lease is over, and its attempt."""
    saga = start(define(step("pay"), step("send")), {})
    [attempt] = hand.take()
    attempt.held.renewable_until = monotonic() + 60
    clock.shift(20 * SECOND)
    attempt.held.lease_ends -= 20
    assert not is_renewed(saga)
    return saga, attempt


def test_a_lease_is_renewed(held, hand):
    saga, attempt = held
    renew(hand.id, [attempt.held], lease=LEASE)
    assert is_renewed(saga)
    assert attempt.held.lease_ends - monotonic() > LEASE.total_seconds() - 5


def test_a_renewal_is_nothing_that_a_person_sees(held, hand):
    saga, attempt = held
    saga.refresh_from_db()
    before = (saga.revision, saga.updated_at, saga.fence)
    renew(hand.id, [attempt.held], lease=LEASE)
    saga.refresh_from_db()
    assert (saga.revision, saga.updated_at, saga.fence) == before


def test_not_beyond_the_time_of_its_attempts(held, hand):
    saga, attempt = held
    attempt.held.renewable_until = monotonic() - 1
    renew(hand.id, [attempt.held], lease=LEASE)
    assert not is_renewed(saga)


def test_not_if_another_worker_has_the_saga(held, hand):
    saga, attempt = held
    clock.shift(MINUTE)
    Hand().take()
    clock.shift(10 * SECOND)
    ends = attempt.held.lease_ends
    renew(hand.id, [attempt.held], lease=LEASE)
    assert not is_renewed(saga)
    assert attempt.held.lease_ends == ends


def test_not_under_a_fence_that_was_raised_since(held, hand):
    saga, attempt = held
    Saga.objects.filter(pk=saga.pk).update(fence=7)
    renew(hand.id, [attempt.held], lease=LEASE)
    assert not is_renewed(saga)


def test_not_of_a_saga_that_ended(define, hand):
    saga = start(define(step("pay")), {})
    [attempt] = hand.take()
    hand.settle(*hand.call([attempt]))
    attempt.held.renewable_until = monotonic() + 60
    renew(hand.id, [attempt.held], lease=LEASE)
    saga.refresh_from_db()
    assert (saga.status, saga.due_at) == ("completed", None)


def test_a_renewal_leaves_a_wake_up_for_its_own_end(held, hand):
    _, attempt = held
    OrmQ.objects.all().delete()
    renew(hand.id, [attempt.held], lease=LEASE)
    assert OrmQ.objects.count() == 1


def test_with_nothing_in_hand_nothing_is_asked(hand, django_assert_num_queries):
    with django_assert_num_queries(0):
        renew(hand.id, [], lease=LEASE)


@pytest.fixture
def elsewhere() -> Iterator[list[threading.Thread]]:
    """Threads with connections of their own, which end with the test."""
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_a_row_that_a_settlement_has_locked_is_passed_by(define, hand, elsewhere):
    locked, free = start_many(define(step("pay")), [{}] * 2)
    attempts = hand.take()
    for attempt in attempts:
        attempt.held.renewable_until = monotonic() + 60
    Saga.objects.update(due_at=database_now("default") + 5 * SECOND)
    has_lock, done = threading.Event(), threading.Event()

    def settle_slowly() -> None:
        with transaction.atomic():
            Saga.objects.select_for_update().get(pk=locked.pk)
            has_lock.set()
            done.wait(10)
        connection.close()

    elsewhere.append(threading.Thread(target=settle_slowly))
    elsewhere[0].start()
    assert has_lock.wait(10)
    began = monotonic()
    renew(hand.id, [attempt.held for attempt in attempts], lease=LEASE)
    assert monotonic() - began < 2
    done.set()
    assert is_renewed(free)
    assert not is_renewed(locked)


@pytest.mark.django_db(transaction=True)
class TestTheThread:
    @pytest.fixture
    def worker(self, hand) -> Worker:
        return Worker.objects.create(id=hand.id, host="here", pid=1, group=1, queue="q", slots=1)

    def beating(self, hand: Hand, attempts: list[Attempt]) -> Heartbeat:
        return Heartbeat(
            hand.id,
            lambda: [attempt.held for attempt in attempts],
            lease=timedelta(milliseconds=150),
            ends_process=False,
        )

    def test_it_renews_and_beats(self, define, hand, worker):
        start(define(step("pay")), {})
        attempts = hand.take()
        attempts[0].held.renewable_until = monotonic() + 60
        before = worker.beat_at
        thread = self.beating(hand, attempts)
        thread.start()
        assert thread.is_running
        time.sleep(0.3)
        thread.stop()
        assert not thread.is_running
        worker.refresh_from_db()
        assert worker.beat_at > before
        assert worker.busy == 1

    def test_it_lets_leases_run_out_when_the_loop_is_silent(self, define, hand, worker, monkeypatch, caplog):
        monkeypatch.setattr(heartbeat, "SILENCE", timedelta(0))
        start(define(step("pay")), {})
        attempts = hand.take()
        attempts[0].held.renewable_until = monotonic() + 60
        ends = attempts[0].held.lease_ends
        thread = self.beating(hand, attempts)
        with caplog.at_level(logging.CRITICAL, "sagas.engine"):
            thread.start()
            time.sleep(0.2)
            thread.stop()
        assert attempts[0].held.lease_ends == ends
        assert "is silent for" in caplog.text


def age(attempt, seconds):
    """Let a lease be so many seconds older, in the row and in the hand."""
    attempt.held.lease_ends -= seconds
    Saga.objects.update(due_at=F("due_at") - seconds * SECOND)


def test_a_settlement_extends_a_lease_that_has_aged(define, hand):
    start(define(step("pay"), step("send")), {})
    [attempt] = hand.take()
    age(attempt, 20)
    hand.settle(returned(attempt, {}, sent=0.0))
    assert attempt.held.lease_ends - monotonic() > LEASE.total_seconds() - 5
    assert is_renewed(Saga.objects.get())


def test_a_settlement_leaves_a_fresh_lease_as_it_is(define, hand):
    start(define(step("pay"), step("send")), {})
    [attempt] = hand.take()
    age(attempt, 5)
    before = attempt.held.lease_ends, Saga.objects.get().due_at
    hand.settle(returned(attempt, {}, sent=0.0))
    assert (attempt.held.lease_ends, Saga.objects.get().due_at) == before
