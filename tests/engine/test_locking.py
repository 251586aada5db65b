"""Sagas that are locked and read in one round trip."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from time import sleep
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection, connections, transaction
from psycopg.errors import LockNotAvailable

from sagas import start
from sagas.engine.locked import lock_all
from sagas.models import SagaStep
from tests.samples import postgresql_only, step

pytestmark = [pytest.mark.django_db(transaction=True), postgresql_only]


@contextmanager
def another_holds(saga_id: UUID) -> Iterator[None]:
    """Have another connection hold the lock for the length of the block, and change a step at its end."""
    held, is_over = Event(), Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                lock_all([saga_id])
                held.set()
                assert is_over.wait(20)
                SagaStep.objects.filter(saga=saga_id).update(error="changed")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as other:
        holding = other.submit(hold)
        try:
            assert held.wait(20)
            yield
        finally:
            is_over.set()
            holding.result()


def errors_of(saga_id: UUID) -> list[str]:
    try:
        with transaction.atomic():
            [locked] = lock_all([saga_id])
            return [each.error for each in locked.steps.values()]
    finally:
        connections.close_all()


def test_the_steps_are_those_of_when_the_lock_was_granted(define):
    saga = start(define(step("a"), step("b")), {})
    with ThreadPoolExecutor(1) as waiter:
        with another_holds(saga.pk):
            found = waiter.submit(errors_of, saga.pk)
            wait_until_it_waits()
        assert found.result(20) == ["changed", "changed"]


def wait_until_it_waits() -> None:
    with connection.cursor() as cursor:
        for _ in range(1000):
            cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
            if cursor.fetchone()[0]:
                return
            sleep(0.01)
    pytest.fail("Nobody waited for the lock.")


def test_who_waits_in_vain_is_told_and_can_go_on(define):
    saga = start(define(step("a")), {})
    with another_holds(saga.pk), pytest.raises(OperationalError) as refusal:
        lock_impatiently(saga.pk)

    assert isinstance(refusal.value.__cause__, LockNotAvailable)
    assert errors_of(saga.pk) == ["changed"]


def lock_impatiently(saga_id: UUID) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '50ms'")
        lock_all([saga_id])


def test_what_is_gone_is_passed_by(define):
    saga = start(define(step("a")), {})
    with transaction.atomic():
        assert [locked.saga.pk for locked in lock_all([uuid4(), saga.pk, uuid4()])] == [saga.pk]
        assert lock_all([uuid4()]) == []
