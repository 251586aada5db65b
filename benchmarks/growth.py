"""Whether it stays as fast with a million finished sagas in its tables, and as small after many more."""

from __future__ import annotations

from typing import Any

from django.db import connection, models, transaction

from benchmarks.cluster import cluster
from benchmarks.memory import WorkersMemory
from benchmarks.ours import run
from sagas.models import HistoryEntry, Saga, SagaStep

DEFINITION = "benchmarks.async"
BLOCKS = 20

COPIES = """
CREATE TEMPORARY TABLE copy ON COMMIT DROP AS
SELECT
    (
        lpad(to_hex((extract(epoch FROM now() - age) * 1000)::bigint), 12, '0')
        || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15)
    )::uuid AS id,
    age
FROM (SELECT number * interval '1 second' AS age FROM generate_series(1, %s) AS number) AS past
"""
"""Each a second older than the one before, with ids that tell their time, as ours do."""


def fill(*, sagas: int, warm_up: int) -> dict[str, float]:
    """Run one saga, and put so many copies of it into the past."""
    with cluster():
        run(DEFINITION, 1)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        # What is copied was checked when it was written; each copy need not be.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(COPIES, [sagas])
        for model, of_saga in ((Saga, "id"), (SagaStep, "saga_id"), (HistoryEntry, "saga_id")):
            cursor.execute(_copying(model, of_saga))
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")  # Else it is written for minutes, beside what is measured.
    return {"sagas": Saga.objects.count(), "steps": SagaStep.objects.count()}


def memory(*, sagas: int, warm_up: int) -> dict[str, float]:
    """Run so many sagas in one cluster, and compare what its workers take early and at the end."""
    taken = []
    with cluster(), WorkersMemory() as watched:
        run(DEFINITION, warm_up)
        for _ in range(BLOCKS):
            run(DEFINITION, sagas // BLOCKS)
            taken.append(watched.now_mb)
    early = taken[BLOCKS // 5 - 1]
    return {"early_mb": early, "late_mb": taken[-1], "ratio": taken[-1] / early if early else 0.0}


def _copying(model: type[models.Model], of_saga: str) -> str:
    fields = [
        field
        for field in model._meta.concrete_fields
        if not isinstance(field, models.AutoField) and not getattr(field, "generated", False)
    ]
    columns = ", ".join(_quoted(str(field.column)) for field in fields)
    values = ", ".join(_value(field, of_saga) for field in fields)
    table = _quoted(model._meta.db_table)
    return f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} AS row CROSS JOIN copy"


def _value(field: models.Field[Any, Any], of_saga: str) -> str:
    column = f"row.{_quoted(str(field.column))}"
    if field.column == of_saga:
        return "copy.id"
    if field.column == "correlation_id":
        return "copy.id::text"
    if isinstance(field, models.DateTimeField):
        return f"{column} - copy.age"
    if isinstance(field, models.UUIDField):
        return f"CASE WHEN {column} IS NOT NULL THEN gen_random_uuid() END"
    return column


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)
