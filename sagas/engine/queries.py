"""The engine's own way to read: texts of statements that are kept, and values that cross in binary.

A settlement of one saga asks several small questions, and a worker with nothing to do the same one many times
a second. To make Django's query and its text takes longer than PostgreSQL takes to answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet
from django.db.models.lookups import In
from django.db.models.sql.compiler import SQLCompiler

from sagas import clock

MOST_TEXTS = 500
"""Texts of statements that are remembered, of one kind."""

_VALUES = [None]
"""What stands among a text's parameters for the values that `fetch_among` is given."""

Rows = list[tuple[Any, ...]]
Select = Callable[..., QuerySet[Any, tuple[Any, ...]]]


def fetch(rows: QuerySet[Any, tuple[Any, ...]]) -> Rows:
    """Return what a ``values_list`` selects.

    On PostgreSQL in binary, which is read in C; text would pass Django's converters, value by value.
    """
    connection = connections[rows.db]
    if connection.vendor != "postgresql":
        return list(rows)
    try:
        sql, parameters = rows.query.get_compiler(rows.db).as_sql()
    except EmptyResultSet:
        return []
    return _found(connection, sql, parameters)


def fetch_again(select: Select, *arguments: Hashable, alias: str) -> Rows:
    """Return what ``select(*arguments)`` selects, as `fetch` does; its text is made once for each arguments.

    For what is asked often with few different arguments. On them alone, and on `DatabaseTime`, the query may
    depend, and `select` must be a function of a module: a new one each time would have a new text each time.
    """
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return list(select(*arguments).using(alias))
    try:
        sql, parameters = _text(alias, clock.offset(), select, arguments)
    except EmptyResultSet:
        return []
    return _found(connection, sql, parameters)


def fetch_among(select: Select, values: Sequence[Any], *arguments: Hashable, alias: str) -> Rows:
    """Return what ``select(values, *arguments)`` selects, as `fetch_again` does, of at least one value.

    `select` gives the values to an `Among`, and nothing else of the query depends on them.
    """
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return list(select(values, *arguments).using(alias))
    return _found(connection, *_text_among(alias, select, values, arguments))


def fetch_each_among(
    selects: Sequence[tuple[Select, Hashable]], values: Sequence[Any], *, alias: str
) -> list[Rows]:
    """Return what each function selects of the same values, given its argument: see `fetch_among`.

    Each statement begins when the one before it has ended, and all are sent at once where PostgreSQL's client
    library can: one round trip, the transaction's BEGIN included.
    """
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return [list(select(values, argument).using(alias)) for select, argument in selects]
    texts = [_text_among(alias, select, values, (argument,)) for select, argument in selects]
    with ExitStack() as opened:
        cursors = [opened.enter_context(binary_cursor(connection)) for _ in texts]
        with connection.wrap_database_errors, _pipeline(connection.connection):
            for cursor, (sql, parameters) in zip(cursors, texts, strict=True):
                cursor.execute(sql, parameters)
        return [cursor.fetchall() for cursor in cursors]


def _pipeline(connection: Any) -> AbstractContextManager[Any]:
    from psycopg import Pipeline

    return connection.pipeline() if Pipeline.is_supported() else nullcontext()


def _text_among(
    alias: str, select: Select, values: Sequence[Any], arguments: tuple[Hashable, ...]
) -> tuple[str, list[Any]]:
    sql, parameters = _text(alias, clock.offset(), select, arguments, among=True)
    return sql, [list(values) if each == _VALUES else each for each in parameters]


@lru_cache(MOST_TEXTS)
def _text(
    alias: str,
    _clock_offset: timedelta,
    select: Select,
    arguments: tuple[Hashable, ...],
    *,
    among: bool = False,
) -> tuple[str, Sequence[Any]]:
    rows = select(_VALUES, *arguments) if among else select(*arguments)
    sql, parameters = rows.using(alias).query.get_compiler(alias).as_sql()
    return str(sql), parameters


class Among(In):
    """``in``, with the values as one array on PostgreSQL: one text of the statement whatever their number."""

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        """Return the condition. Raise `EmptyResultSet` if there are no values."""
        left, parameters = self.process_lhs(compiler, connection)
        if not self.rhs:
            raise EmptyResultSet
        return f"{left} = ANY(%s)", [*parameters, list(self.rhs)]


def _found(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> Rows:
    with binary_cursor(connection) as cursor:
        cursor.execute(sql, parameters)
        found: Rows = cursor.fetchall()
        return found


def binary_cursor(connection: BaseDatabaseWrapper) -> CursorWrapper:
    """Return a cursor whose values cross in binary and apart from the SQL: half the cost of text and quoting.

    It is logged where Django's own are, and raises Django's exceptions. PostgreSQL alone has it.
    """
    from django.db.backends.postgresql.base import ServerBindingCursor  # Needs psycopg, as PostgreSQL does.
    from psycopg.pq import Format

    connection.ensure_connection()
    cursor: Any = ServerBindingCursor(connection.connection)  # type: ignore[call-arg]  # It is psycopg's.
    cursor.format = Format.BINARY
    return (
        connection.make_debug_cursor(cursor) if connection.queries_logged else connection.make_cursor(cursor)
    )
