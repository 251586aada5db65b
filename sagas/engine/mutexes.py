"""Names that one transaction at a time may work on: events on their way, semantic locks, limits.

A mutex lasts until the transaction ends. They are taken after the rows of sagas and in one order, so that no
two transactions wait for each other. On SQLite, where only one transaction writes, there is nothing to take.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

from django.db import connections


def take(alias: str, names: Collection[str]) -> None:
    """Take these mutexes, waiting for whoever has one. One statement."""
    connection = connections[alias]
    if not names or connection.vendor != "postgresql":
        return
    numbers = sorted({_number(name) for name in names})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(number) FROM unnest(%s::bigint[]) WITH ORDINALITY AS n(number, at) "
            "ORDER BY at",
            [numbers],
        )


def _number(name: str) -> int:
    """Return the 64-bit number PostgreSQL locks by. Two names with one number merely wait for each other."""
    return int.from_bytes(blake2b(f"sagas:{name}".encode(), digest_size=8).digest(), signed=True)
