"""The engine's batch writes: all rows of a claim or a settlement in one round trip.

The only module that writes SQL of its own. On PostgreSQL one statement with data-modifying CTEs over
``unnest`` does the work of three upserts; other databases get one prepared statement per table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet
from django.db.models.lookups import In
from django.db.models.sql.compiler import SQLCompiler


@dataclass(frozen=True)
class Update:
    """Write these fields of these rows, found by primary key."""

    rows: Sequence[models.Model]
    fields: tuple[str, ...]
    keep: tuple[str, ...] = ()
    """Fields for which None means: leave what is stored."""


@dataclass(frozen=True)
class Insert:
    """Write these fields of new rows, unless they are there; the database fills in the others."""

    rows: Sequence[models.Model]
    fields: tuple[str, ...]


def write(alias: str, *changes: Update | Insert) -> None:
    """Carry out the changes, within the caller's transaction, on rows the caller has locked."""
    changes = tuple(change for change in changes if change.rows)
    if not changes:
        return
    connection = connections[alias]
    if connection.vendor == "postgresql":
        shapes = tuple((isinstance(c, Insert), type(c.rows[0]), _shape(c)) for c in changes)
        columns = [column for change in changes for column in _columns(change)]
        with _binary_cursor(connection) as cursor:
            cursor.execute(_combined(alias, shapes), columns)
        return
    with connection.cursor() as cursor:
        for change in changes:
            statement = _prepared(alias, isinstance(change, Insert), type(change.rows[0]), _shape(change))
            cursor.executemany(statement, _tuples(change, connection))


def insert_new(alias: str, rows: Sequence[models.Model], fields: tuple[str, ...]) -> set[Any]:
    """Insert rows unless they conflict with stored ones; return the primary keys of those inserted."""
    connection = connections[alias]
    model = type(rows[0])
    names = ", ".join(_quoted(alias, model, fields))
    key = _quoted(alias, model, (_key(model),))[0]
    tail = f"ON CONFLICT DO NOTHING RETURNING {key}"
    table = connection.ops.quote_name(model._meta.db_table)
    if connection.vendor == "postgresql":
        with _binary_cursor(connection) as cursor:
            cursor.execute(
                f"INSERT INTO {table} ({names}) SELECT * FROM unnest({_arrays(alias, model, fields)}) {tail}",
                _columns(Insert(rows, fields)),
            )
            return {key for (key,) in cursor.fetchall()}
    with connection.cursor() as cursor:
        inserted = set()
        marks = ", ".join(["%s"] * len(fields))
        for row, values in zip(rows, _tuples(Insert(rows, fields), connection), strict=True):
            cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks}) {tail}", values)
            if cursor.fetchone() is not None:
                inserted.add(row.pk)
        return inserted


def insert_from(model: type[models.Model], fields: tuple[str, ...], rows: QuerySet[Any, Any]) -> int:
    """Insert what a ``values_list`` selects, without reading it; return how many rows that were."""
    connection = connections[rows.db]
    sql, parameters = rows.query.get_compiler(rows.db).as_sql()
    names = ", ".join(_quoted(rows.db, model, fields))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {connection.ops.quote_name(model._meta.db_table)} ({names}) {sql}", parameters
        )
        return int(cursor.rowcount)


def fetch(rows: QuerySet[Any, tuple[Any, ...]]) -> list[tuple[Any, ...]]:
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
    with _binary_cursor(connection) as cursor:
        cursor.execute(sql, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


class Among(In):
    """``in``, with the values as one array on PostgreSQL: one text of the statement whatever their number."""

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        """Return the condition. Raise `EmptyResultSet` if there are no values."""
        left, parameters = self.process_lhs(compiler, connection)
        if not self.rhs:
            raise EmptyResultSet
        return f"{left} = ANY(%s)", [*parameters, list(self.rhs)]


def _binary_cursor(connection: BaseDatabaseWrapper) -> CursorWrapper:
    """Return a cursor whose values cross in binary and apart from the SQL: half the cost of text and quoting.

    It is logged where Django's own are, and raises Django's exceptions.
    """
    from django.db.backends.postgresql.base import ServerBindingCursor  # Needs psycopg, as PostgreSQL does.
    from psycopg.pq import Format

    connection.ensure_connection()
    cursor: Any = ServerBindingCursor(connection.connection)  # type: ignore[call-arg]  # It is psycopg's.
    cursor.format = Format.BINARY
    return (
        connection.make_debug_cursor(cursor) if connection.queries_logged else connection.make_cursor(cursor)
    )


def _shape(change: Update | Insert) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return change.fields, change.keep if isinstance(change, Update) else ()


@cache
def _combined(alias: str, parts: tuple[tuple[bool, type[models.Model], Any], ...]) -> str:
    statements = [_from_arrays(alias, *part) for part in parts]
    *others, last = statements
    ctes = ", ".join(f"part{number} AS ({other})" for number, other in enumerate(others))
    return f"WITH {ctes} {last}" if ctes else last


def _from_arrays(alias: str, is_insert: bool, model: type[models.Model], shape: Any) -> str:
    fields, keep = shape
    table = connections[alias].ops.quote_name(model._meta.db_table)
    names = _quoted(alias, model, fields)
    if is_insert:
        arrays = _arrays(alias, model, fields)
        return (
            f"INSERT INTO {table} ({', '.join(names)}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING"
        )
    (key,) = _quoted(alias, model, (_key(model),))
    columns = ", ".join([key, *names])
    sets = ", ".join(
        _assignment(table, name, f"new.{name}", field in keep)
        for name, field in zip(names, fields, strict=True)
    )
    return (
        f"UPDATE {table} SET {sets} FROM unnest({_arrays(alias, model, (_key(model), *fields))}) "
        f"AS new ({columns}) WHERE {table}.{key} = new.{key}"
    )


@cache
def _prepared(alias: str, is_insert: bool, model: type[models.Model], shape: Any) -> str:
    fields, keep = shape
    table = connections[alias].ops.quote_name(model._meta.db_table)
    names = _quoted(alias, model, fields)
    if is_insert:
        marks = ", ".join(["%s"] * len(names))
        return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING"
    (key,) = _quoted(alias, model, (_key(model),))
    sets = ", ".join(
        _assignment(table, name, "%s", field in keep) for name, field in zip(names, fields, strict=True)
    )
    return f"UPDATE {table} SET {sets} WHERE {key} = %s"


def _assignment(table: str, name: str, value: str, keep: bool) -> str:
    return f"{name} = COALESCE({value}, {table}.{name})" if keep else f"{name} = {value}"


def _columns(change: Update | Insert) -> list[list[Any]]:
    model = type(change.rows[0])
    fields = (_key(model), *change.fields) if isinstance(change, Update) else change.fields
    return [_column(change.rows, model._meta.get_field(name)) for name in fields]


def _column(rows: Sequence[models.Model], field: Any) -> list[Any]:
    name = field.attname
    if isinstance(field, models.JSONField):
        return [None if (v := row.__dict__.get(name)) is None else json.dumps(v) for row in rows]
    return [row.__dict__.get(name) for row in rows]


def _tuples(change: Update | Insert, connection: BaseDatabaseWrapper) -> list[tuple[Any, ...]]:
    model = type(change.rows[0])
    names = (*change.fields, _key(model)) if isinstance(change, Update) else change.fields
    fields = [model._meta.get_field(name) for name in names]
    return [tuple(_prepared_value(row, field, connection) for field in fields) for row in change.rows]


def _prepared_value(row: models.Model, field: Any, connection: BaseDatabaseWrapper) -> Any:
    value = row.__dict__.get(field.attname)
    if value is None:
        return None
    if isinstance(field, models.JSONField):
        return json.dumps(value)
    return field.get_db_prep_save(value, connection)


def _key(model: type[models.Model]) -> str:
    assert model._meta.pk is not None
    return model._meta.pk.name


def _quoted(alias: str, model: type[models.Model], fields: tuple[str, ...]) -> list[str]:
    quote = connections[alias].ops.quote_name
    return [quote(str(model._meta.get_field(name).column)) for name in fields]  # type: ignore[union-attr]


def _arrays(alias: str, model: type[models.Model], fields: tuple[str, ...]) -> str:
    connection = connections[alias]
    kinds = (model._meta.get_field(name).rel_db_type(connection) for name in fields)  # type: ignore[union-attr]
    return ", ".join(f"%b::{kind}[]" for kind in kinds)
