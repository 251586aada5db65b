"""Who is at work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import QuerySet, UUIDField, Value, Window
from django.db.models.functions import RowNumber

from sagas.clock import DatabaseTime, database_now, shifted
from sagas.conf import saga_settings
from sagas.engine.heartbeat import ALIVE_FOR
from sagas.models import Saga, Worker

MOST_WORKERS = 100
MOST_HELD = 3
"""Sagas that are named of what a worker has in hand."""
LOOKED_THROUGH = 2_000
"""Leases, the latest first, among which they are looked for: no index says who holds what.

Of more, PostgreSQL would sooner read the whole table. Whose leases all end before so many others' shows none.
"""


@dataclass(frozen=True)
class HeldSaga:
    """A saga in a worker's hand."""

    id: UUID
    definition: str
    key: str | None


@dataclass(frozen=True)
class WorkerFigures:
    """A runner, and how it said it was at its last beat."""

    host: str
    pid: int
    queue: str
    started_at: datetime
    beat_at: datetime
    busy: int
    """Sagas in its hand."""
    slots: int
    is_alive: bool
    sagas: tuple[HeldSaga, ...] = ()
    """The oldest sagas it has in hand right now."""
    has_more: bool = False
    """Whether it has others."""


def workers(now: datetime) -> tuple[WorkerFigures, ...]:
    """Return the runners, those that beat last first: one statement."""
    return _told(_rows(), now)


def time_and_workers(patience: timedelta) -> tuple[datetime, tuple[WorkerFigures, ...]]:
    """Return the database's time and the runners: one statement.

    It makes PostgreSQL cancel whatever takes longer than `patience` in the rest of the open transaction,
    and carries the runners along, for they are few however many sagas there are.
    """
    alias = Worker.objects.db
    if connections[alias].vendor == "sqlite":
        now = database_now(alias)
        return now, workers(now)
    runners, parameters = _rows().query.sql_with_params()
    sql = (
        "SELECT STATEMENT_TIMESTAMP(), set_config('statement_timeout', %s, true), runner.* "
        f"FROM (SELECT 1) one LEFT JOIN ({runners}) runner ON true"
    )
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, [str(patience // timedelta(milliseconds=1)), *parameters])
        found = cursor.fetchall()
    now = shifted(found[0][0])
    return now, _told([row for _time, _bound, *row in found if row[1] is not None], now)


def _rows() -> QuerySet[Any, tuple[Any, ...]]:
    """Select the runners and, in rows of the same shape, the oldest sagas that each has in hand."""
    latest = Worker.objects.order_by("-beat_at").values("pk")[:MOST_WORKERS]
    nobody = Value(None, output_field=UUIDField())
    names = ("id", "host", "queue", "pid", "busy", "slots", "started_at", "beat_at")
    runners = Worker.objects.order_by().filter(pk__in=latest).values_list(nobody, *names)
    like_them = ("steps_done", "steps_total", "fence", "created_at", "updated_at")
    sagas = _held().values_list("held_by", "id", "definition", "key", *like_them)
    return runners.union(sagas, all=True)


def _held() -> QuerySet[Saga]:
    """Select what is found in the index of what is due: a lease ends no later than that."""
    until = DatabaseTime() + saga_settings().lease
    leases = Saga.objects.filter(due_at__lte=until).order_by("-due_at").values("pk")[:LOOKED_THROUGH]
    held = Saga.objects.order_by().filter(pk__in=leases, held_by__isnull=False)
    number = Window(RowNumber(), partition_by="held_by", order_by="id")
    return held.annotate(number=number).filter(number__lte=MOST_HELD + 1)


def _told(rows: Iterable[Sequence[Any]], now: datetime) -> tuple[WorkerFigures, ...]:
    runners, held = [], defaultdict(list)
    for holder, *row in rows:
        if holder is None:
            runners.append(row)
        else:
            held[holder].append(HeldSaga(*row[:3]))
    return tuple(
        WorkerFigures(
            host,
            pid,
            queue,
            started_at,
            beat_at,
            busy,
            slots,
            is_alive=now - beat_at <= ALIVE_FOR,
            sagas=tuple(sorted(held[worker], key=lambda saga: saga.id)[:MOST_HELD]),
            has_more=len(held[worker]) > MOST_HELD,
        )
        for worker, host, queue, pid, busy, slots, started_at, beat_at in sorted(
            runners, key=itemgetter(-1), reverse=True
        )
    )
