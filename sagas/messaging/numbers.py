"""Events of one key are numbered in the order in which their transactions commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from django.db import connections

from sagas.models import EventKey

AT_ONCE = 1000


def take_numbers(alias: str, keys: Iterable[str]) -> list[int]:
    """Return the next number of each key, in the order given; 0 for an empty key. One statement.

    The keys stay locked until the transaction ends: whoever publishes under one of them next waits, and so
    comes after. They are taken in one order, so that two who publish under several keys do not wait for each
    other.
    """
    wanted = list(keys)
    counts = sorted(Counter(key for key in wanted if key).items())
    following: dict[str, int] = {}
    for first in range(0, len(counts), AT_ONCE):
        following |= _count(alias, counts[first : first + AT_ONCE])
    numbers = []
    for key in wanted:
        numbers.append(following.get(key, 0))
        if key:
            following[key] += 1
    return numbers


def _count(alias: str, counts: list[tuple[str, int]]) -> dict[str, int]:
    connection = connections[alias]
    table = connection.ops.quote_name(EventKey._meta.db_table)
    rows = ", ".join(["(%s, %s)"] * len(counts))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} AS counted (key, last) VALUES {rows} "
            "ON CONFLICT (key) DO UPDATE SET last = counted.last + excluded.last RETURNING key, last",
            [value for count in counts for value in count],
        )
        last = dict(cursor.fetchall())
    return {key: last[key] - count + 1 for key, count in counts}
