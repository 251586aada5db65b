"""Messages that PostgreSQL tells of, and what happens where it does not."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from sagas.queue import broker
from sagas.queue.broker import CHANNEL, Listener, NotifyBroker
from tests.samples import MINUTE, SECOND, postgresql_only, sqlite_only

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def make() -> Iterator[Callable[[], NotifyBroker]]:
    """Makes brokers of one queue, whose connections end with the test."""
    made: list[NotifyBroker] = []

    def make() -> NotifyBroker:
        made.append(NotifyBroker("tests"))
        return made[-1]

    yield make
    for each in made:
        if each._listener is not None:
            each._listener.close()
    if connection.vendor == "postgresql":
        assert nobody_listens()


@pytest.fixture
def taker(make) -> NotifyBroker:
    """A broker that has looked once, and so listens where it can."""
    taker: NotifyBroker = make()
    assert taker.dequeue() is None
    return taker


def taken(taker: NotifyBroker, *, within: float = 20.0) -> str:
    """Take messages as django-q2 does, and return the first."""
    deadline = monotonic() + within
    while monotonic() < deadline:
        if found := taker.dequeue():
            [(_key, message)] = found
            return message
    return pytest.fail(f"No message within {within} s.")


def in_another_thread(work: Callable[[], Any]) -> Thread:
    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = Thread(target=run)
    thread.start()
    return thread


def listening() -> list[int]:
    """Return the server's processes that listen."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE query = %s AND datname = current_database()",
            [f"LISTEN {CHANNEL}"],
        )
        return [pid for (pid,) in cursor.fetchall()]


def nobody_listens() -> bool:
    """Say whether nobody does; the server shows a connection for a moment after it was closed."""
    deadline = monotonic() + 20.0
    while listening() and monotonic() < deadline:
        sleep(0.01)
    return not listening()


def terminate(backend: int) -> None:
    """End the server's side of a connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [backend])


def test_a_message_is_taken_once_and_gone_when_it_is_acknowledged(make):
    taker = make()
    taker.enqueue("hello")
    [(key, message)] = taker.dequeue()
    assert message == "hello"
    assert not taker.dequeue()
    taker.acknowledge(key)
    assert not OrmQ.objects.exists()


def test_one_that_is_not_acknowledged_is_taken_again(make, monkeypatch):
    monkeypatch.setattr(Conf, "RETRY", 0)
    taker = make()
    taker.enqueue("hello")
    assert taken(taker) == taken(taker) == "hello"


def test_a_message_is_for_its_queue_alone(make):
    NotifyBroker("others").enqueue("not for us")
    taker = make()
    assert not taker.dequeue()
    taker.enqueue("for us")
    assert taken(taker) == "for us"


@sqlite_only
def test_elsewhere_it_is_the_orm_broker(taker):
    assert taker._listener is None
    taker.enqueue("hello")
    assert taken(taker) == "hello"


@postgresql_only
class TestOnPostgreSQL:
    def test_whoever_waits_is_woken_by_the_commit(self, taker, monkeypatch):
        monkeypatch.setattr(broker, "LONGEST_WAIT", MINUTE)
        thread = in_another_thread(lambda: NotifyBroker("tests").enqueue("hello"))
        assert taken(taker) == "hello"
        thread.join()

    def test_not_by_messages_in_other_queues(self, taker):
        NotifyBroker("others").enqueue("hello")
        assert not taker._listener._hears("tests", seconds=0.2)

    def test_nobody_is_told_of_a_message_that_was_rolled_back(self, taker):
        with transaction.atomic():
            NotifyBroker("tests").enqueue("never")
            transaction.set_rollback(True)
        assert not taker._listener._hears("tests", seconds=0.2)

    def test_messages_are_taken_in_the_order_of_their_times(self, make, monkeypatch):
        monkeypatch.setattr(Conf, "BULK", 3)
        now = timezone.now()
        for ago in (2, 5, 1, 4, 3):
            OrmQ.objects.create(key="tests", payload=str(ago), lock=now - ago * SECOND)
        taker = make()
        assert [message for _key, message in taker.dequeue()] == ["5", "4", "3"]
        assert [message for _key, message in taker.dequeue()] == ["2", "1"]

    def test_what_another_is_about_to_take_is_passed_by(self, make):
        first, second = (OrmQ.objects.create(key="tests", payload=p, lock=timezone.now()) for p in "ab")
        found: list[Any] = []
        with transaction.atomic():
            list(OrmQ.objects.select_for_update().filter(pk=first.pk))
            in_another_thread(lambda: found.extend(make().dequeue() or [])).join()
        assert found == [(second.pk, "b")]

    def test_many_who_take_at_once_take_each_message_once(self, make):
        for number in range(40):
            OrmQ.objects.create(key="tests", payload=str(number), lock=timezone.now())
        found: list[str] = []

        def take_all(taker: NotifyBroker) -> None:
            while batch := taker.dequeue():
                found.extend(message for _key, message in batch)

        for thread in [in_another_thread(partial(take_all, make())) for _ in range(4)]:
            thread.join()
        assert sorted(found, key=int) == [str(number) for number in range(40)]

    def test_a_message_nobody_was_told_of_is_found_all_the_same(self, taker):
        OrmQ.objects.create(key="tests", payload="quiet", lock=timezone.now())
        assert taken(taker) == "quiet"

    def test_a_message_with_a_time_is_taken_when_it_comes(self, taker, monkeypatch):
        at = timezone.now() + SECOND
        OrmQ.objects.create(key="tests", payload="later", lock=at)
        monkeypatch.setattr(broker, "LONGEST_WAIT", MINUTE)
        assert taken(taker) == "later"
        assert timezone.now() >= at

    def test_one_connection_listens_however_often_it_waits(self, taker):
        [backend] = listening()
        for _ in range(3):
            taker.dequeue()
        assert listening() == [backend]

    def test_who_only_queues_and_acknowledges_does_not_listen(self, make):
        other = make()
        other.enqueue("hello")
        other.acknowledge(OrmQ.objects.get().pk)
        assert listening() == []

    def test_what_a_parent_listens_on_is_left_to_it(self, taker):
        [ours] = listening()
        heard = multiprocessing.get_context("fork").SimpleQueue()

        def child() -> None:
            connections["default"].connection = None  # As django-q2 closes them before it forks.
            taker.dequeue()
            heard.put((listening(), taker._listener._connection.info.backend_pid))
            os._exit(0)

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        backends, theirs = heard.get()
        process.join()
        assert sorted(backends) == sorted([ours, theirs])
        NotifyBroker("tests").enqueue("hello")
        assert taker._listener._hears("tests", seconds=20)

    def test_it_can_be_sent_to_another_process(self, taker):
        other = pickle.loads(pickle.dumps(taker))
        try:
            other.enqueue("hello")
            assert taken(other) == "hello"
        finally:
            if other._listener is not None:
                other._listener.close()

    def test_when_it_can_hear_no_more_it_polls_and_listens_again_later(self, taker, caplog):
        [deaf] = listening()
        terminate(deaf)
        with caplog.at_level(logging.WARNING, "sagas.queue"):
            for _ in range(3):
                taker.dequeue()
        assert caplog.text.count("Notifications of the queue 'tests' cannot be heard") == 1
        NotifyBroker("tests").enqueue("hello")
        assert taken(taker) == "hello"
        taker._listener._deaf_until = 0.0
        taker.dequeue()
        [hears] = listening()
        assert hears != deaf
        NotifyBroker("tests").enqueue("hello again")
        assert taker._listener._hears("tests", seconds=20)

    def test_a_pooler_that_lends_connections_by_the_transaction_is_found_out(self, make, monkeypatch, caplog):
        monkeypatch.setattr(Listener, "_hears", lambda *args: False)
        taker = make()
        with caplog.at_level(logging.WARNING, "sagas.queue"):
            assert not taker.dequeue()
        assert "it listens and hears nothing, as through a pooler" in caplog.text
        assert nobody_listens()
        taker.enqueue("hello")
        assert taken(taker) == "hello"

    def test_attempts_to_listen_become_rarer_as_they_fail(self, monkeypatch):
        listener = Listener("default", "tests")
        monkeypatch.setattr(Conf, "POLL", 0)
        monkeypatch.setitem(connection.settings_dict, "PORT", "1")
        pauses = []
        for _ in range(11):
            listener._deaf_until = 0.0
            listener.wait(1)
            pauses.append(listener._pause)
        assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]

    def test_a_database_that_does_not_answer_is_waited_for(self, taker, monkeypatch, caplog):
        with monkeypatch.context() as down, caplog.at_level(logging.WARNING, "sagas.queue"):
            down.setattr(NotifyBroker, "_take", _shut_down)
            for _ in range(2):
                assert taker.dequeue() is None
        told = "The queue's database does not answer, and is asked again: the database system is shutting"
        assert caplog.text.count(told) == 1
        taker.enqueue("hello")
        assert taken(taker) == "hello"

    def test_a_message_is_acknowledged_once_the_database_answers_again(self, make, monkeypatch):
        keeper = make()
        keeper.enqueue("hello")
        monkeypatch.setattr(broker, "LONGEST_WAIT", timedelta(milliseconds=10))
        delete, refusals = ORM.delete, iter([True, True])
        monkeypatch.setattr(
            ORM, "delete", lambda *args: _shut_down() if next(refusals, False) else delete(*args)
        )
        keeper.acknowledge(OrmQ.objects.get().pk)
        assert not OrmQ.objects.exists()

    def test_and_given_up_if_it_does_not_for_long(self, make, monkeypatch):
        keeper = make()
        monkeypatch.setattr(broker, "LONGEST_WAIT", timedelta(milliseconds=10))
        monkeypatch.setattr(broker, "ACKNOWLEDGED_WITHIN", timedelta(milliseconds=50))
        monkeypatch.setattr(ORM, "delete", _shut_down)
        keeper.acknowledge(1)


def _shut_down(*args: object) -> None:
    raise OperationalError("the database system is shutting down")


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({"func": "os.system", "args": ("true",)}, "'os.system'"),
        ({"func": print}, "built-in function print"),
        ({"func": "sagas.queue.tasks.run_due", "hook": "os.abort"}, "'os.abort' after"),
        ({"func": "sagas.queue.tasks.run_due", "chain": [("os.abort", (), {})]}, "after"),
        ({"func": "sagas.queue.tasks"}, "'sagas.queue.tasks'"),
    ],
)
def test_what_is_not_named_does_not_run(make, settings, caplog, task, why):
    settings.SAGAS = settings.SAGAS | {"ALLOWED_TASKS": ("shop.tasks.count",)}
    broker = make()
    broker.enqueue(SignedPackage.dumps({"id": "1", "name": "x", "args": (), "kwargs": {}} | task))
    broker.enqueue(SignedPackage.dumps({"func": "shop.tasks.count"}))
    broker.enqueue(SignedPackage.dumps({"func": "sagas.queue.tasks.run_due"}))
    taken: list[str] = []
    while len(taken) < 2:
        taken += [SignedPackage.loads(message)["func"] for _id, message in broker.dequeue() or []]
    assert taken == ["shop.tasks.count", "sagas.queue.tasks.run_due"]
    assert OrmQ.objects.count() == 2
    assert why in caplog.text


def test_without_a_list_everything_does(make, settings):
    settings.SAGAS = {key: value for key, value in settings.SAGAS.items() if key != "ALLOWED_TASKS"}
    broker = make()
    broker.enqueue(SignedPackage.dumps({"func": "os.getpid"}))
    [(_id, message)] = broker.dequeue() or []
    assert SignedPackage.loads(message)["func"] == "os.getpid"
