"""The engine's batch writes: all rows of a claim or a settlement in one round trip.

The only module that writes SQL of its own. On PostgreSQL one statement with data-modifying CTEs over
``unnest`` does the work of three upserts; other databases get one prepared statement per table. What is read
is read through `queries`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from sagas.engine.queries import MOST_TEXTS, binary_cursor


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
        shapes, parameters = [], []
        for change in changes:
            columns = _columns(change)
            vary = _which_vary(columns)
            shapes.append((_kind(change), vary))
            parameters += _parameters(columns, vary)
        with binary_cursor(connection) as cursor:
            cursor.execute(_combined(alias, tuple(shapes)), parameters)
        return
    with connection.cursor() as cursor:
        for change in changes:
            cursor.executemany(_prepared(alias, _kind(change)), _tuples(change, connection))


def insert_new(
    alias: str, whole: Insert, parts: Insert, *, times: tuple[str, ...] = ()
) -> dict[Any, tuple[datetime, ...]]:
    """Insert rows unless they conflict with stored ones, and the parts of those inserted.

    The first field of the parts names the row that they belong to. Return the primary keys of the rows
    inserted, with the `times` that the database filled in. One statement on PostgreSQL.
    """
    connection = connections[alias]
    kind, part = _kind(whole), _kind(parts)
    returned = (_key(kind.model), *times)
    if connection.vendor == "postgresql":
        columns, of_parts = _columns(whole), _columns(parts)
        vary, parts_vary = _which_vary(columns), _which_vary(of_parts)
        statement = _with_parts(alias, (kind, vary), (part, parts_vary), returned)
        with binary_cursor(connection) as cursor:
            cursor.execute(statement, _parameters(columns, vary) + _parameters(of_parts, parts_vary))
            return {key: tuple(found) for key, *found in cursor.fetchall()}
    with connection.cursor() as cursor:
        inserted = {}
        statement = f"{_prepared(alias, kind)} RETURNING {', '.join(_quoted(alias, kind.model, returned))}"
        for row, values in zip(whole.rows, _tuples(whole, connection), strict=True):
            cursor.execute(statement, values)
            if (stored := cursor.fetchone()) is not None:
                inserted[row.pk] = tuple(_time(text, connection) for text in stored[1:])
    belongs_to = part.model._meta.get_field(parts.fields[0]).attname  # type: ignore[union-attr]
    write(alias, Insert([row for row in parts.rows if getattr(row, belongs_to) in inserted], parts.fields))
    return inserted


def _time(text: str, connection: BaseDatabaseWrapper) -> datetime:
    time: datetime = connection.ops.convert_datetimefield_value(text, None, connection)  # type: ignore[attr-defined]
    return time


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


class _Kind(NamedTuple):
    """What a statement does, whatever the rows."""

    is_insert: bool
    model: type[models.Model]
    fields: tuple[str, ...]
    keep: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields that cross, those of an update behind its key."""
        return self.fields if self.is_insert else (_key(self.model), *self.fields)


def _kind(change: Update | Insert) -> _Kind:
    model = type(change.rows[0])
    if isinstance(change, Insert):
        return _Kind(True, model, change.fields)
    return _Kind(False, model, change.fields, change.keep)


def _which_vary(columns: Sequence[list[Any]]) -> tuple[bool, ...]:
    """Say which columns cross as arrays: those with more than one value, and the first, to count the rows.

    Most have one value for all rows of a batch, which crosses once.
    """
    return (True, *(column.count(column[0]) < len(column) for column in columns[1:]))


def _parameters(columns: Sequence[list[Any]], vary: tuple[bool, ...]) -> list[Any]:
    each = list(zip(columns, vary, strict=True))
    return [column[0] for column, varies in each if not varies] + [
        column for column, varies in each if varies
    ]


@lru_cache(MOST_TEXTS)
def _combined(alias: str, parts: tuple[tuple[_Kind, tuple[bool, ...]], ...]) -> str:
    *others, last = [_from_columns(alias, kind, vary) for kind, vary in parts]
    ctes = ", ".join(f"part{number} AS ({other})" for number, other in enumerate(others))
    return f"WITH {ctes} {last}" if ctes else last


@lru_cache(MOST_TEXTS)
def _with_parts(
    alias: str,
    whole: tuple[_Kind, tuple[bool, ...]],
    parts: tuple[_Kind, tuple[bool, ...]],
    returned: tuple[str, ...],
) -> str:
    kind, part = whole[0], parts[0]
    told = ", ".join(_quoted(alias, kind.model, returned))
    (key, *_), (belongs_to, *_) = (
        _quoted(alias, kind.model, returned),
        _quoted(alias, part.model, part.fields),
    )
    of_them = f"WHERE new.{belongs_to} IN (SELECT {key} FROM whole)"
    return (
        f"WITH whole AS ({_from_columns(alias, *whole)} RETURNING {told}), "
        f"parts AS ({_from_columns(alias, *parts, condition=of_them)}) SELECT {told} FROM whole"
    )


def _from_columns(alias: str, kind: _Kind, vary: tuple[bool, ...], *, condition: str = "") -> str:
    """Return the statement for these columns, whose parameters are `_parameters`.

    The `condition` is one on the rows to be inserted, as `new`.
    """
    connection = connections[alias]
    table = connection.ops.quote_name(kind.model._meta.db_table)
    fields = [kind.model._meta.get_field(name) for name in kind.columns]
    each = [(connection.ops.quote_name(str(f.column)), f.rel_db_type(connection)) for f in fields]  # type: ignore[union-attr]
    single = {name: f"%b::{type_}" for (name, type_), varies in zip(each, vary, strict=True) if not varies}
    many = {name: f"%b::{type_}[]" for (name, type_), varies in zip(each, vary, strict=True) if varies}
    rows = f"unnest({', '.join(many.values())}) AS new ({', '.join(many)})"
    if kind.is_insert:
        names = ", ".join([*single, *many])
        values = ", ".join([*single.values(), "new.*"])
        return f"INSERT INTO {table} ({names}) SELECT {values} FROM {rows} {condition} ON CONFLICT DO NOTHING"
    kept = _quoted(alias, kind.model, kind.keep)
    key = each[0][0]
    values_of = single | {name: f"new.{name}" for name in many}
    sets = [
        _assignment(table, name, values_of[name], name in kept) for name in [*single, *many] if name != key
    ]
    return f"UPDATE {table} SET {', '.join(sets)} FROM {rows} WHERE {table}.{key} = new.{key}"


@cache
def _prepared(alias: str, kind: _Kind) -> str:
    table = connections[alias].ops.quote_name(kind.model._meta.db_table)
    names = _quoted(alias, kind.model, kind.fields)
    if kind.is_insert:
        marks = ", ".join(["%s"] * len(names))
        return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING"
    (key,) = _quoted(alias, kind.model, (_key(kind.model),))
    sets = ", ".join(
        _assignment(table, name, "%s", field in kind.keep)
        for name, field in zip(names, kind.fields, strict=True)
    )
    return f"UPDATE {table} SET {sets} WHERE {key} = %s"


def _assignment(table: str, name: str, value: str, keep: bool) -> str:
    return f"{name} = COALESCE({value}, {table}.{name})" if keep else f"{name} = {value}"


def _columns(change: Update | Insert) -> list[list[Any]]:
    """Return the values of the rows, column by column. What is JSON may be missing in some."""
    names, plain = _attributes(_kind(change))
    rows = [row.__dict__ for row in change.rows]
    columns = dict(zip(plain, map(list, zip(*map(itemgetter(*plain), rows), strict=True)), strict=True))
    return [columns[name] if name in columns else [_json(row.get(name)) for row in rows] for name in names]


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


@cache
def _attributes(kind: _Kind) -> tuple[list[str], list[str]]:
    """Return where rows have the columns that cross, and which of those cross as they are."""
    fields = [kind.model._meta.get_field(name) for name in kind.columns]
    plain = [field for field in fields if not isinstance(field, models.JSONField)]
    return [field.attname for field in fields], [field.attname for field in plain]  # type: ignore[union-attr]


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
