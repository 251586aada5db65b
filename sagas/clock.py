"""The one clock of the engine: the database's.

Leases, retries and timers compare times that different hosts wrote, so no host's own clock may be among them.
Tests move the clock of their own process with `shift`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Func
from django.db.models.functions import Now
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone

_offset = timedelta(0)


def shift(delta: timedelta) -> None:
    """Move this process's view of the time by `delta`, on top of earlier shifts. For tests."""
    global _offset
    _offset += delta


def reset() -> None:
    """Undo every shift."""
    global _offset
    _offset = timedelta(0)


def offset() -> timedelta:
    """Return by how much this process's view of the time is shifted."""
    return _offset


class StatementTime(Func):
    """The time at which the statement began, not `shifted` yet: the same text whatever the shift."""

    template = "STATEMENT_TIMESTAMP()"
    output_field = DateTimeField()

    def as_sqlite(
        self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[Any, ...]]:
        # The database lives in the process: its clock is the host's, and the column is Django's text.
        return "%s", (connection.ops.adapt_datetimefield_value(timezone.now()),)


class DatabaseTime(StatementTime):
    """The time at which the statement began, as an expression for annotations and filters."""

    def as_postgresql(
        self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, list[Any]]:
        if not _offset:
            return self.template, []
        return f"({self.template} + %s)", [_offset]

    def as_sqlite(
        self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[Any, ...]]:
        return "%s", (connection.ops.adapt_datetimefield_value(shifted(timezone.now())),)


class InsertTime(Now):
    """The database's time as a column's default.

    On SQLite times are text: as many digits as Django writes, or a row would seem older than itself.
    """

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        template = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f000', 'NOW')"
        return self.as_sql(compiler, connection, template=template, **context)


def utc(moment: datetime) -> str:
    """Return a time in UTC as ISO 8601 has it, with a Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def database_now(alias: str) -> datetime:
    """Ask the database for the time: one statement, where no other carries it along."""
    connection = connections[alias]
    if connection.vendor == "sqlite":
        return timezone.now() + _offset
    with connection.cursor() as cursor:
        cursor.execute("SELECT STATEMENT_TIMESTAMP()")
        now: datetime = cursor.fetchone()[0]
        return shifted(now)


def shifted(now: datetime) -> datetime:
    """Return a time that the database told, as this process views it."""
    return now + _offset
