"""Stores many rows as fast as the database takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from django.db import connections, models


def store(alias: str, model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> None:
    """Store rows, columns by name, within the caller's transaction: by COPY where there is one."""
    if connections[alias].vendor == "postgresql":
        _copy(alias, model, rows)
    else:
        manager = model._base_manager.using(alias)
        manager.bulk_create([model(**row) for row in rows], batch_size=1000)


def _copy(alias: str, model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> None:
    from psycopg.types.json import Jsonb  # Needs psycopg, as PostgreSQL does.

    names = list(rows[0])
    kinds = _kinds(alias, model)
    documents = [number for number, name in enumerate(names) if kinds[name] == "jsonb"]
    quote = connections[alias].ops.quote_name
    columns = ", ".join(quote(name) for name in names)
    with connections[alias].cursor() as cursor:
        table = quote(model._meta.db_table)
        with cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types([kinds[name] for name in names])
            for row in rows:
                values = list(row.values())
                for number in documents:
                    if values[number] is not None:
                        values[number] = Jsonb(values[number])
                copy.write_row(values)


@cache
def _kinds(alias: str, model: type[models.Model]) -> dict[str, str]:
    """Return each column's type, without its length."""
    kinds = {
        field.attname: str(field.rel_db_type(connections[alias])).partition("(")[0]
        for field in model._meta.concrete_fields
    }
    return {name: kind.replace("timestamp with time zone", "timestamptz") for name, kind in kinds.items()}
