"""Asks the queue to look for due sagas. A wake-up is a hint: losing one costs time and never work.

Wake-ups for the same second are one: whoever inserts the `Wake` row sends the message, and a runner deletes
the row before it first looks. On brokers that keep messages in the database a message can carry a time before
which it is not delivered, and so serves as a timer; with other brokers only the present can be woken for.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, transaction
from django.utils import timezone
from django_q.brokers import Broker, get_broker
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.tasks import async_task

from sagas.clock import DatabaseTime, database_now
from sagas.conf import saga_settings
from sagas.definitions import registry, subscriptions
from sagas.models import Wake
from sagas.states import Direction

log = logging.getLogger("sagas.wake")

TASK = "sagas.queue.tasks.run_due"
BATCH_TASK = "sagas.queue.tasks.run_batch"
BATCH_TIMEOUT = 60
"""Seconds after which django-q2 may end a worker that is at a batch: a chunk takes a few."""
MARGIN = timedelta(seconds=10)
"""What a runner may take beyond its budget and its longest step before django-q2 ends it."""

UNHURRIED = "set_config('synchronous_commit', 'off', true)"
"""SQL with which a transaction of hints does not wait for the disk.

A crash of the database may undo it within the next half second. A later commit that waits takes it to the
disk as well.
"""


def queue_name() -> str:
    """Return the name of the queue that carries wake-ups."""
    return saga_settings().queue or str(Conf.CLUSTER_NAME)


def cluster_environment() -> dict[str, str]:
    """Return what has django-q2's qcluster serve this queue."""
    return {} if queue_name() == Conf.CLUSTER_NAME else {"Q_CLUSTER_NAME": queue_name()}


def wake_on_commit(using: str) -> None:
    """Wake a worker once the transaction commits; once, however many sagas it started."""
    connection = connections[using]
    if any(entry[1] is _wake_now for entry in connection.run_on_commit):
        return
    transaction.on_commit(_wake_now, using=using, robust=True)


def wake(at: datetime | None = None, *, after: timedelta = timedelta(0), insist: bool = False) -> None:
    """Ask a worker to look: `after` a while from now, or from `at`.

    `insist` where somebody has asked for the same second already: that message may be lost. Never raises:
    what cannot be sent is logged, and found later.
    """
    try:
        _wake(at, after, insist)
    except Exception:
        log.warning("A wake-up could not be sent; the sagas wait for the next one.", exc_info=True)


def wake_for_batch(batch_id: int, turn: int) -> None:
    """Ask a worker to go on with a batch. Never raises: what cannot be sent is logged, and found later."""
    try:
        _queue(get_broker(queue_name()), BATCH_TASK, batch_id, turn, timeout=BATCH_TIMEOUT)
    except Exception:
        log.warning("No worker could be asked to go on with batch %s.", batch_id, exc_info=True)


def clear_past_wakes(using: str) -> None:
    """Let new wake-ups through: whoever calls this looks at the database next."""
    Wake.objects.using(using).filter(queue=queue_name(), at__lte=DatabaseTime()).delete()


def task_timeout() -> int:
    """Return after how many seconds django-q2 may end a runner: its budget and its longest call."""
    limits = [
        limit
        for definition in registry.values()
        for step in definition.outline().steps.values()
        for limit in map(step.time_limit, Direction)
    ]
    limits += [subscription.timeout for subscription in subscriptions]
    longest = max(limits, default=timedelta(0))
    return int((saga_settings().budget + longest + MARGIN).total_seconds()) + 1


def _wake_now() -> None:
    wake()


def _wake(at: datetime | None, after: timedelta, insist: bool) -> None:
    using = Wake.objects.db
    second = None
    broker = None
    if at is None and not after:
        # Mostly somebody has asked just now, and a look costs a third of what a transaction does. A flag that
        # is seen is deleted later, and whoever deletes it looks after that.
        if not insist and _is_set(using):
            return
    else:
        broker = get_broker(queue_name())
        now = database_now(using)
        at = (at or now) + after
        if at > now:
            if not isinstance(broker, ORM):
                return
            second = _whole_second_from(at)
            # The broker compares with its host's clock, and `second` is the database's time.
            broker = _Later(queue_name(), second + (timezone.now() - now))
    is_part = connections[using].in_atomic_block
    with transaction.atomic(using=using):  # One commit for the flag and the message.
        if _insert(using, second, unhurried=not is_part) or insist:
            _send(broker or get_broker(queue_name()))


def _whole_second_from(at: datetime) -> datetime:
    whole = at.replace(microsecond=0)
    return whole if whole == at else whole + timedelta(seconds=1)


def _is_set(using: str) -> bool:
    """Say whether the flag for the present second is there. One statement."""
    return bool(_execute(using, "SELECT 1 FROM {table} WHERE queue = %s AND at = {second}", None))


def _insert(using: str, second: datetime | None, *, unhurried: bool) -> bool:
    """Insert the flag for a second, None being the present one; say whether it was new. One statement.

    `unhurried`: the transaction does not wait for the disk.
    """
    told = UNHURRIED if unhurried and connections[using].vendor == "postgresql" else "id"
    sql = "INSERT INTO {table} (queue, at) VALUES (%s, {second}) ON CONFLICT DO NOTHING RETURNING " + told
    return bool(_execute(using, sql, second))


def _execute(using: str, sql: str, second: datetime | None) -> list[Any]:
    """Execute a statement about our flag for a second, None being the present one."""
    connection = connections[using]
    value = "%s"
    parameters: list[Any] = [queue_name()]
    if second is None and connection.vendor == "postgresql":
        value = "date_trunc('second', STATEMENT_TIMESTAMP())"
    else:
        second = second or database_now(using).replace(microsecond=0)
        parameters.append(connection.ops.adapt_datetimefield_value(second))
    table = connection.ops.quote_name(Wake._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(sql.format(table=table, second=value), parameters)
        found: list[Any] = cursor.fetchall()
        return found


def _send(broker: Broker) -> None:
    _queue(broker, TASK, timeout=task_timeout())


def _queue(broker: Broker, task: str, *arguments: int, timeout: int) -> None:
    options = {
        "save": False,
        "ack_failure": True,
        "timeout": timeout,
        "cluster": queue_name(),
        "broker": broker,
    }
    async_task(task, *arguments, q_options=options)


class _Later(ORM):  # type: ignore[misc]  # django-q2 is untyped
    """The ORM broker, delivering no earlier than a given time."""

    def __init__(self, list_key: str, not_before: datetime) -> None:
        super().__init__(list_key)
        self._not_before = not_before

    def enqueue(self, task: str) -> int:
        row = self.get_connection().create(key=self.list_key, payload=task, lock=self._not_before)
        return int(row.pk)
