"""Who is at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import QuerySet

from sagas.clock import database_now, shifted
from sagas.engine.heartbeat import ALIVE_FOR
from sagas.models import Worker

MOST_WORKERS = 100


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


def workers(now: datetime) -> tuple[WorkerFigures, ...]:
    """Return the runners, those that beat last first."""
    return tuple(_told(row, now) for row in _rows())


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
    return now, tuple(_told(row, now) for _time, _bound, *row in found if row[0] is not None)


def _rows() -> QuerySet[Worker, tuple[Any, ...]]:
    names = ("host", "pid", "queue", "started_at", "beat_at", "busy", "slots")
    return Worker.objects.order_by("-beat_at").values_list(*names)[:MOST_WORKERS]


def _told(row: Sequence[Any], now: datetime) -> WorkerFigures:
    host, pid, queue, started_at, beat_at, busy, slots = row
    is_alive = now - beat_at <= ALIVE_FOR
    return WorkerFigures(host, pid, queue, started_at, beat_at, busy, slots, is_alive)
