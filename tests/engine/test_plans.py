"""How PostgreSQL finds what is due among many sagas that are not."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import QuerySet

from sagas import start_many
from sagas.clock import DatabaseTime
from sagas.engine import errands
from sagas.engine.claims import _code, _for_us
from sagas.engine.recovery import lost, overdue
from sagas.models import Saga, SagaStep
from tests.samples import postgresql_only, step

pytestmark = [pytest.mark.django_db, postgresql_only]

MANY = 5_000
MINUTE = timedelta(minutes=1)


@pytest.fixture
def many(define):
    """Sagas that are done, and a few that are due."""
    definition = define(step("pay"))
    start_many(definition, [{}] * MANY)
    SagaStep.objects.update(status="completed")
    Saga.objects.update(status="completed", due_at=None, ended_at=DatabaseTime())
    start_many(definition, [{}] * 3)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


QUERIES: dict[str, Callable[[], QuerySet[Saga]]] = {
    "what is due": lambda: _for_us(_code(), None, 250),
    "what is overdue": lambda: overdue(MINUTE)[:100],
    "what was told and not heard": lambda: errands.forgotten()[:100],
    "what got lost": lambda: lost(MINUTE)[:100],
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_no_query_reads_the_sagas_that_are_done(many, query):
    plan = query().explain(analyze=True)
    read = [int(rows) for rows in re.findall(r"Rows Removed by Filter: (\d+)", plan)]
    assert "Seq Scan on sagas_saga " not in plan, plan
    assert "Seq Scan on sagas_sagastep" not in plan, plan
    assert sum(read) < MANY / 100, plan
