"""Real clusters, as processes of their own, on the database under test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import environ
import pytest
from django.core.management import call_command
from django.db import connection, connections
from pytest_django.plugin import DjangoDbBlocker

from orders.demo.processes import ManagedCommand
from sagas.definitions import registry
from tests.postgres import Server, fresh_server
from tests.world import ledger
from tests.world.ledger import Ledger
from tests.world.sagas import Patience, Trip

LEASE_SECONDS = 3


@pytest.fixture
def world(transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The world's books, and an environment in which workers find them and the database under test."""
    with _books(tmp_path, monkeypatch) as ledger:
        yield ledger


@pytest.fixture
def own_server(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """A PostgreSQL server that the test may end and start again, as the database under test."""
    with fresh_server() as server, django_db_blocker.unblock(), monkeypatch.context() as patch:
        connections.close_all()
        address = environ.Env.db_url_config(server.address)
        for name, value in address.items():
            if name in ("NAME", "USER", "PASSWORD", "PORT"):
                patch.setitem(connection.settings_dict, name, value)
        patch.setitem(connection.settings_dict, "HOST", address["OPTIONS"]["host"])
        call_command("migrate", verbosity=0)
        yield server
        connections.close_all()


@pytest.fixture
def world_of_own_server(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ledger]:
    """As `world`, with that server."""
    with _books(tmp_path, monkeypatch) as ledger:
        yield ledger


@contextmanager
def _books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setenv(ledger.FOLDER, str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", address())
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.world.settings")
    monkeypatch.setenv("SAGAS_LEASE", str(LEASE_SECONDS))
    for definition in (Trip, Patience):
        registry.add(definition)
    yield Ledger(tmp_path)
    for definition in (Trip, Patience):
        registry.remove(definition)


@pytest.fixture
def clusters(world: Ledger) -> Iterator[Callable[[int], list[ManagedCommand]]]:
    """Starts clusters, which end with the test."""
    with ExitStack() as running:
        yield lambda number: [running.enter_context(ManagedCommand("qcluster")) for _ in range(number)]
    connections.close_all()


@pytest.fixture
def eventually() -> Callable[..., float]:
    """Waits until something is so; returns the seconds it took."""

    def wait(condition: Callable[[], bool], *, within: float, what: str) -> float:
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > within:
                pytest.fail(f"Not within {within} s: {what}.")
            time.sleep(0.05)
        return time.monotonic() - began

    return wait


def address() -> str:
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    user, host = database.get("USER") or "", quote(str(database.get("HOST") or ""), safe="")
    port = database.get("PORT") or 5432
    return f"postgres://{user}@:{port}/{database['NAME']}?host={host}"
