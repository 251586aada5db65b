"""Databases of one server: a fresh one for each contestant and round."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql


def analyse() -> None:
    """Tell the planner of the database at hand what the tables hold, as autovacuum would in a minute."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("ANALYZE")


class Databases:
    """Makes and drops databases of the server at this address."""

    def __init__(self, server: str) -> None:
        self._server = server

    @contextmanager
    def fresh(self, name: str, *, template: str | None = None) -> Iterator[str]:
        """Make a database for the length of the block, empty or as a copy, and yield its address.

        What was written before is on the disk when the block begins: nobody pays for another's writes.
        """
        database = sql.Identifier(name)
        copy = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
        self._execute(sql.SQL("CREATE DATABASE {}{}").format(database, copy))
        try:
            self.settle()
            yield urlsplit(self._server)._replace(path=f"/{name}").geturl()
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))

    def settle(self) -> None:
        """Have the server write to disk what it has in memory."""
        self._execute(sql.SQL("CHECKPOINT"))

    def version(self) -> str:
        """Return the server's version."""
        with psycopg.connect(self._server) as connection:
            [(version,)] = connection.execute("SHOW server_version").fetchall()
        return str(version).split()[0]

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(statement)
