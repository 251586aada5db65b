"""django-q2's ORM broker, woken by PostgreSQL's NOTIFY instead of looking twenty times a second.

Chosen by ``Q_CLUSTER["broker_class"] = "sagas.queue.broker.NotifyBroker"``, beside ``orm``. The one process
of a cluster that takes messages listens on a connection of its own, which has to reach PostgreSQL itself or
through a pooler in session mode. A notification is a hint: one that is lost costs half a second, and while
none can be heard, or in another database, messages are looked for every `poll` seconds.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from datetime import timedelta
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

from django.core.signing import BadSignature
from django.db import DatabaseError, InterfaceError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from sagas.conf import saga_settings
from sagas.wake import UNHURRIED

log = logging.getLogger("sagas.queue")

CHANNEL = "sagas_queue"
OWN_TASKS = frozenset(f"sagas.queue.tasks.{name}" for name in ("run_due", "run_batch", "recover", "purge"))
LONGEST_WAIT = timedelta(seconds=0.5)
"""Between two looks: for messages nobody told of, and for django-q2 to say that the cluster stops."""
HEARS_WITHIN = timedelta(seconds=1)
"""How long a notification that proves the connection may take; a pooler between transactions loses it."""
LONGEST_PAUSE = timedelta(minutes=5)
"""Between two attempts to listen, which come a second apart at first."""
ACKNOWLEDGED_WITHIN = timedelta(seconds=30)
"""How long a database that does not answer is asked to forget a message that is done."""
KEEPALIVE = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}
"""A connection that only listens would not notice that the other side is gone."""


def can_notify(connection: BaseDatabaseWrapper) -> bool:
    """Whether notifications can be sent and waited for: by PostgreSQL, through psycopg 3."""
    return connection.vendor == "postgresql" and hasattr(_driver(connection), "Notify")


def _objection(message: str) -> str:
    """Say why a message may not run, if it may not. A wrong signature is django-q2's to refuse."""
    try:
        task = SignedPackage.loads(message)
    except BadSignature:
        return ""
    function = task.get("func")
    allowed = saga_settings().allowed_tasks or ()
    if not isinstance(function, str) or not (function in OWN_TASKS or function in allowed):
        return f"it would run {function!r}, which SAGAS['ALLOWED_TASKS'] does not name."
    if task.get("hook") or task.get("chain"):
        return f"it would run {task.get('hook') or task.get('chain')!r} after {function}."
    return ""


class NotifyBroker(ORM):  # type: ignore[misc]  # django-q2 is untyped
    """The ORM broker, with a NOTIFY for each message and a LISTEN where messages are taken.

    Messages are taken in the order of their times, and by one cluster only. A database that does not answer
    is waited for: an exception would cost the cluster its process, and ten seconds.
    """

    _listener: Listener | None = None  # Made where messages are taken; brokers are sent to processes before.
    _is_cut_off = False

    def enqueue(self, task: str) -> int:
        """Queue a message, and tell those who listen once the transaction at hand commits. One statement."""
        self.get_connection()  # It replaces a connection that is too old.
        connection = self._connection
        if not can_notify(connection):
            return int(super().enqueue(task))
        queue = self.list_key or Conf.CLUSTER_NAME
        with connection.cursor() as cursor:
            cursor.execute(
                f"WITH queued AS (INSERT INTO {OrmQ._meta.db_table} (key, payload, lock) VALUES (%s, %s, %s) "
                "RETURNING id) SELECT id, pg_notify(%s, %s) FROM queued",
                [queue, task, timezone.now(), CHANNEL, queue],
            )
            return int(cursor.fetchone()[0])

    def dequeue(self) -> list[tuple[int, str]] | None:
        """Take messages, or wait for one. What may not run is deleted instead, and told of in the log."""
        if not can_notify(self._connection):
            return self._permitted(super().dequeue() or [])
        try:
            if taken := self._take():
                return self._permitted(taken)
            self._wait()
        except (DatabaseError, InterfaceError) as error:
            self._bear(error)
        else:
            self._is_cut_off = False
        return None

    def acknowledge(self, task_id: int) -> None:
        """Delete a message that is done. If the database cannot be told for long, it is delivered again."""
        deadline = monotonic() + ACKNOWLEDGED_WITHIN.total_seconds()
        while True:
            try:
                super().acknowledge(task_id)
            except (DatabaseError, InterfaceError) as error:
                self._bear(error)
            else:
                self._is_cut_off = False
                return
            if monotonic() > deadline:
                return

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[OrmQ.objects.using(Conf.ORM).db]

    def _take(self) -> list[tuple[int, str]]:
        """Mark what is due as taken. One statement, which does not wait for the disk: the mark is a lease."""
        queue = self.get_connection()
        table = OrmQ._meta.db_table
        with connections[queue.db].cursor() as cursor:
            cursor.execute(
                "WITH due AS MATERIALIZED ("
                f"SELECT id, lock AS at, {UNHURRIED} FROM {table} "
                "WHERE key = %s AND lock <= %s ORDER BY lock LIMIT %s FOR UPDATE SKIP LOCKED) "
                f"UPDATE {table} SET lock = %s FROM due WHERE {table}.id = due.id "
                f"RETURNING due.at, {table}.id, {table}.payload",
                [self.list_key, timezone.now(), Conf.BULK, self.timeout(None)],
            )
            return [(task_id, payload) for _at, task_id, payload in sorted(cursor.fetchall())]

    def _permitted(self, taken: list[tuple[int, str]]) -> list[tuple[int, str]] | None:
        if saga_settings().allowed_tasks is None:
            return taken or None
        refused = {task_id: why for task_id, message in taken if (why := _objection(message))}
        for task_id, why in refused.items():
            log.error("Message %d of the queue %r was deleted: %s", task_id, self.list_key, why)
            self.acknowledge(task_id)
        return [(task_id, message) for task_id, message in taken if task_id not in refused] or None

    def _wait(self) -> None:
        queue = self.get_connection()
        if self._listener is None:
            self._listener = Listener(queue.db, self.list_key)
        waiting = queue.filter(key=self.list_key).order_by("lock").values_list("lock", flat=True)
        seconds = LONGEST_WAIT.total_seconds()
        if (earliest := waiting.first()) is not None:
            seconds = min(seconds, (earliest - timezone.now()).total_seconds())
        if seconds > 0:
            self._listener.wait(seconds)

    def _bear(self, error: Exception) -> None:
        if not self._is_cut_off:
            log.warning("The queue's database does not answer, and is asked again: %s", error)
            self._is_cut_off = True
        sleep(LONGEST_WAIT.total_seconds())


class Listener:
    """Hears of messages in one queue, on a connection that is made where it is first waited on."""

    def __init__(self, alias: str, queue: str) -> None:
        self._alias = alias
        self._queue = queue
        self._process = 0
        self._connection: Any = None
        self._pause = 0.0
        self._deaf_until = 0.0

    def wait(self, seconds: float) -> None:
        """Return when a message is told of, or after so many seconds.

        At once, if it only now began to listen: who waits should look again. Where nothing can be heard,
        after the `poll` seconds of django-q2's settings.
        """
        if self._process != os.getpid():  # What another process listens on is not ours to read or to close.
            self._process, self._connection = os.getpid(), None
        if self._connection is None and monotonic() < self._deaf_until:
            sleep(min(seconds, float(Conf.POLL)))
            return
        try:
            if self._connection is None:
                self._listen()
            else:
                self._hears(self._queue, seconds)
        except _driver(connections[self._alias]).Error as error:
            self._give_up(error)

    def close(self) -> None:
        """End the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def _listen(self) -> None:
        connection = connections[self._alias]
        driver = _driver(connection)
        parameters = KEEPALIVE | connection.get_connection_params() | {"autocommit": True}
        self._connection = driver.connect(**parameters)
        self._connection.execute(f"LISTEN {CHANNEL}")
        proof = uuid4().hex
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, proof])
        if not self._hears(proof, HEARS_WITHIN.total_seconds()):
            raise driver.OperationalError(
                "it listens and hears nothing, as through a pooler that lends connections by the transaction"
            )
        if self._pause:
            log.info("Notifications of the queue %r are heard again.", self._queue)
        self._pause = 0.0

    def _hears(self, payload: str, seconds: float) -> bool:
        return any(heard.payload == payload for heard in self._connection.notifies(timeout=seconds))

    def _give_up(self, error: Exception) -> None:
        if not self._pause:
            log.warning(
                "Notifications of the queue %r cannot be heard, so it is polled until they are: %s",
                self._queue,
                error,
            )
        self.close()
        self._pause = min(max(2 * self._pause, 1.0), LONGEST_PAUSE.total_seconds())
        self._deaf_until = monotonic() + self._pause


def _driver(connection: Any) -> Any:
    return connection.Database
