"""Wake-ups: one a second, on time, and never the caller's trouble."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from sagas import clock
from sagas.clock import database_now
from sagas.models import Wake
from sagas.wake import TASK, clear_past_wakes, queue_name, task_timeout, wake
from tests.samples import HOUR, MINUTE, SECOND, postgresql_only, step

pytestmark = pytest.mark.django_db


def test_a_wake_up_asks_a_worker_to_look_and_leaves_no_trace_when_it_did():
    wake()
    task = SignedPackage.loads(OrmQ.objects.get().payload)
    assert task["func"] == TASK
    assert (task["args"], task["kwargs"]) == ((), {})
    assert (task["save"], task["ack_failure"], task["timeout"]) == (False, True, task_timeout())
    assert OrmQ.objects.get().key == queue_name()


def test_of_many_in_one_second_one_is_sent():
    at = database_now("default") + HOUR
    for _ in range(5):
        wake(at.replace(microsecond=1))
    wake(at.replace(microsecond=999_999))
    assert OrmQ.objects.count() == Wake.objects.count() == 1
    wake(at + 2 * SECOND)
    assert OrmQ.objects.count() == 2


def test_one_for_later_is_not_delivered_before_its_time():
    at = database_now("default") + HOUR
    wake(at)
    lock = OrmQ.objects.get().lock
    assert lock is not None
    assert timedelta(0) <= lock - at < 2 * SECOND


def test_also_where_the_databases_clock_is_not_the_hosts():
    clock.shift(5 * MINUTE)
    wake(database_now("default") + HOUR)
    lock = OrmQ.objects.get().lock
    assert lock is not None
    assert abs(lock - timezone.now() - HOUR) < 2 * SECOND


def test_one_for_a_while_after_now_or_after_a_time():
    now = database_now("default")
    wake(after=HOUR)
    wake(now + HOUR, after=HOUR)
    early, late = OrmQ.objects.order_by("lock").values_list("lock", flat=True)
    assert early is not None
    assert late is not None
    assert timedelta(0) <= early - now - HOUR < 3 * SECOND
    assert timedelta(0) <= late - now - 2 * HOUR < 3 * SECOND


@pytest.mark.parametrize("ago", [timedelta(0), HOUR])
def test_one_for_the_past_is_for_now(ago):
    wake(database_now("default") - ago)
    lock = OrmQ.objects.get().lock
    assert lock is not None
    assert lock <= timezone.now()


def test_a_flag_that_was_lost_silences_one_second_and_no_more():
    now = database_now("default").replace(microsecond=0)
    Wake.objects.create(queue=queue_name(), at=now - SECOND)
    wake()
    assert OrmQ.objects.count() == 1


def test_who_looks_lets_new_ones_through():
    wake()
    wake(database_now("default") + HOUR)
    clear_past_wakes("default")
    assert [flag.at > database_now("default") for flag in Wake.objects.all()] == [True]


@pytest.mark.parametrize(
    ("broker", "keeps_time"),
    [(None, True), ("sagas.queue.broker.NotifyBroker", True), ("django_q.brokers.Broker", False)],
)
def test_a_broker_without_timers_is_woken_for_the_present_only(monkeypatch, broker, keeps_time):
    monkeypatch.setattr(Conf, "BROKER_CLASS", broker)
    wake(after=HOUR)
    assert OrmQ.objects.exists() is Wake.objects.exists() is keeps_time


def test_a_message_that_cannot_be_sent_leaves_no_flag_that_would_silence_the_next(monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr("sagas.wake.async_task", lambda *args, **kwargs: 1 / 0)
        wake(after=HOUR)
    assert not Wake.objects.exists()
    wake(after=HOUR)
    assert OrmQ.objects.exists()


def test_what_cannot_be_sent_is_logged_and_not_raised(monkeypatch, caplog):
    monkeypatch.setattr("sagas.wake.async_task", lambda *args, **kwargs: 1 / 0)
    with caplog.at_level(logging.WARNING, "sagas.wake"):
        wake()
    assert "A wake-up could not be sent; the sagas wait for the next one." in caplog.text


def test_a_runner_has_time_for_its_longest_step(define):
    before = task_timeout()
    define(step("pay", timeout=5 * MINUTE, undo_timeout=HOUR))
    assert task_timeout() - before > 30 * 60


def test_whoever_recovers_asks_also_where_somebody_has_asked():
    """That message may be lost: its key may have been changed, or a broker have forgotten it."""
    at = database_now("default") + HOUR
    wake(at)
    OrmQ.objects.all().delete()
    wake(at)
    assert not OrmQ.objects.exists()
    wake(at, insist=True)
    assert OrmQ.objects.count() == Wake.objects.count() == 1


@postgresql_only
def test_a_wake_up_does_not_wait_for_the_disk(transactional_db):
    with captured() as settings:
        wake()
    assert settings == ["off"]


@postgresql_only
def test_a_wake_up_within_a_transaction_leaves_its_commit_alone(transactional_db):
    with transaction.atomic(), captured() as settings:
        wake()
    assert settings == ["on"]


@contextmanager
def captured() -> Iterator[list[str]]:
    """Collect how the transactions that queue a message are committed."""
    seen: list[str] = []

    def look(execute, sql, params, many, context):
        found = execute(sql, params, many, context)
        if OrmQ._meta.db_table in sql:
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_setting('synchronous_commit')")
                seen.append(cursor.fetchone()[0])
        return found

    with connection.execute_wrapper(look):
        yield seen
