"""The workflow, and how DBOS is set up."""

# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

import os
from urllib.parse import parse_qs, urlsplit

from dbos import DBOS, DBOSConfig

THREADS = 6
"""Workflows at once in one process. Without a limit, its threads stand in each other's way."""


def address() -> str:
    """Return DATABASE_URL as SQLAlchemy writes it."""
    given = urlsplit(os.environ["DATABASE_URL"])
    [folder] = parse_qs(given.query)["host"]
    return f"postgresql+psycopg://{given.username}@{given.path}?host={folder}&port={given.port}"


def config(executor: str) -> DBOSConfig:
    """Return its settings: many connections, kept open and not asked before each use whether they are."""
    return {
        "name": "benchmark",
        "system_database_url": address(),
        "executor_id": executor,
        "application_version": "1",
        "max_executor_threads": THREADS,
        "db_engine_kwargs": {"pool_size": 20, "max_overflow": 0, "pool_pre_ping": False},
        "log_level": "ERROR",
    }


@DBOS.step()
def step_0() -> dict[str, int]:
    return {"x": 1}


@DBOS.step()
def step_1() -> dict[str, int]:
    return {"x": 1}


@DBOS.step()
def step_2() -> dict[str, int]:
    return {"x": 1}


@DBOS.workflow()
def saga() -> None:
    step_0()
    step_1()
    step_2()
