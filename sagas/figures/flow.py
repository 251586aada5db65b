"""How many sagas came to an end, or to a halt, in each half hour of the last day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, DateTimeField, Func, QuerySet
from django.db.models.sql.compiler import SQLCompiler

from sagas.models import HistoryEntry, Saga
from sagas.states import SagaStatus

LENGTH = timedelta(minutes=30)
NUMBER = 48
RECENT = 2
"""Half hours that are always counted: in those before them nothing ends any more."""
KEPT_FOR = 60.0
"""Seconds for which the others are not counted again: what ended may have been undone or deleted since."""


@dataclass(frozen=True)
class Passed:
    """Sagas of one definition that came to the same end in one half hour; to halt is one of them."""

    start: datetime
    definition: str
    status: SagaStatus
    number: int


@dataclass(frozen=True)
class HalfHour:
    """How many sagas ended in a half hour, and how many halted in it, whatever became of these since."""

    start: datetime
    completed: int = 0
    compensated: int = 0
    abandoned: int = 0
    failed: int = 0


class _Start(Func):
    """When the half hour began that a time is in."""

    output_field = DateTimeField()

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        template = f"DATE_BIN('{LENGTH.seconds} seconds', %(expressions)s, 'epoch')"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        number = f"STRFTIME('%%%%s', %(expressions)s) / {LENGTH.seconds}"
        template = f"DATETIME({number} * {LENGTH.seconds}, 'unixepoch')"
        return self.as_sql(compiler, connection, template=template, **context)


@dataclass(frozen=True)
class _Kept:
    """What had passed, when it was counted last, before the half hours that are recent."""

    at: float
    recent: datetime
    passed: list[Passed]


_kept: dict[str, _Kept] = {}
"""By the name of the database."""


def passed(now: datetime) -> list[Passed]:
    """Count them: one statement, in indexes that hold what ended and what halted.

    Of a day with many sagas that takes longer than all else on a dashboard that people keep open, so that
    each process counts what is long over once a minute.
    """
    recent = _first(now) + LENGTH * (NUMBER - RECENT)
    database = str(connections[Saga.objects.db].settings_dict["NAME"])
    kept = _kept.get(database)
    if kept is not None and kept.recent == recent and monotonic() < kept.at + KEPT_FOR:
        return kept.passed + _passed_since(recent)
    found = _passed_since(_first(now))
    _kept[database] = _Kept(monotonic(), recent, [each for each in found if each.start < recent])
    return found


def forget() -> None:
    """Have all of it counted anew."""
    _kept.clear()


def _passed_since(since: datetime) -> list[Passed]:
    ended = Saga.objects.filter(ended_at__gte=since)
    halted = HistoryEntry.objects.filter(to_status=SagaStatus.FAILED, at__gte=since)
    both = _counted(ended, "ended_at", "definition", "status").union(
        _counted(halted, "at", "saga__definition", "to_status"), all=True
    )
    return [Passed(start, definition, SagaStatus(status), count) for start, definition, status, count in both]


def half_hours(found: Iterable[Passed], now: datetime) -> tuple[HalfHour, ...]:
    """Return each half hour of the last day, the oldest first, over all definitions."""
    counts: Counter[tuple[datetime, str]] = Counter()
    for each in found:
        counts[each.start, each.status.value] += each.number
    starts = [_first(now) + LENGTH * number for number in range(NUMBER)]
    names = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.ABANDONED, SagaStatus.FAILED)
    return tuple(
        HalfHour(start, **{name.value: counts[start, name.value] for name in names}) for start in starts
    )


def _counted(rows: QuerySet[Any], when: str, *what: str) -> QuerySet[Any, tuple[Any, ...]]:
    dated = rows.order_by().annotate(start=_Start(when))
    counted: QuerySet[Any, tuple[Any, ...]] = dated.values_list("start", *what).annotate(number=Count("*"))
    return counted


def _first(now: datetime) -> datetime:
    """Return when the first half hour of the last day began: the present one is the last."""
    number = int(now.timestamp()) // LENGTH.seconds - NUMBER + 1
    return datetime.fromtimestamp(number * LENGTH.seconds, UTC)
