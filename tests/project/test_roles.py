"""The database's roles, as docs/running.md makes them: each can do its work and no more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError, connection, connections, transaction

from sagas import RetryLater, start
from sagas.models import DeadLetterAct, HistoryEntry, Pruning, Saga
from tests.engine.conftest import brisk
from tests.engine.runs import run
from tests.engine.test_resources import _address
from tests.project.environment import ROOT
from tests.samples import postgresql_only, step

__all__ = ["brisk"]

pytestmark = [pytest.mark.django_db(transaction=True), postgresql_only]

[STATEMENTS] = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/running.md").read_text(), re.DOTALL)
ROLES = re.findall(r"CREATE ROLE (\w+)", STATEMENTS)

As = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def acting_as(db, monkeypatch) -> Iterator[As]:
    """The roles are there, and the tests can be one of them for a while."""
    with psycopg.connect(_address(), autocommit=True) as owner:
        try:
            owner.execute(STATEMENTS)
        except psycopg.errors.InsufficientPrivilege:
            pytest.skip("needs the right to create roles")

        @contextmanager
        def acting_as(role: str) -> Iterator[None]:
            with monkeypatch.context() as patch:
                patch.setitem(connection.settings_dict, "USER", role)
                connections.close_all()
                yield
            connections.close_all()

        yield acting_as
        for role in ROLES:
            owner.execute(f"DROP OWNED BY {role}")
            owner.execute(f"DROP ROLE {role}")


def test_the_application_runs_sagas(define, play, acting_as, brisk):
    play.says("pay", RetryLater("busy"))
    with acting_as("shop_app"):
        start(define(step("book"), step("pay")), {})
        run(linger=None)
        assert Saga.objects.get().history.filter(kind="attempt").exists()


FORBIDDEN: dict[str, list[Callable[[], object] | str]] = {
    "shop_app": [
        lambda: HistoryEntry.objects.update(actor="bob"),
        lambda: HistoryEntry.objects.all().delete(),
        lambda: DeadLetterAct.objects.all().delete(),
        lambda: Pruning.objects.create(actor_kind="code", before="2026-01-01T00:00Z", counts={}),
        "TRUNCATE sagas_historyentry",
        "CREATE TABLE mine (id int)",
        "ALTER TABLE sagas_historyentry DISABLE TRIGGER ALL",
        "DROP TRIGGER sagas_history_append_only ON sagas_historyentry",
    ],
    "shop_report": [
        lambda: Saga.objects.update(status="completed"),
        "SELECT * FROM sagas_sagastep",
        "SELECT * FROM auth_user",
    ],
}


def _attempt(act: Callable[[], object] | str) -> None:
    """Do it, and say that it is for retention."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('sagas.retention', 'on', true)")
        if isinstance(act, str):
            cursor.execute(act)
        else:
            act()


@pytest.mark.parametrize("role", ROLES)
def test_and_does_no_more_than_its_work(define, acting_as, role):
    start(define(step("book")), {})
    with acting_as(role):
        for act in FORBIDDEN[role]:
            with pytest.raises((ProgrammingError, OperationalError), match=r"denied|must be owner"):
                _attempt(act)
        assert Saga.objects.count() == 1
