"""Counts what is asked of the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

_AROUND = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect the statements of the block, without those that begin and end savepoints.

    They are heard on their way: Django's log does not tell those that are prepared.
    """
    found: list[str] = []

    def hear(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if not sql.startswith(_AROUND):
            found.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(hear):
        yield found
