"""Looks at the sagas all the time, past the proxy: what has ended stays so, and no fence falls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any, NamedTuple

import psycopg

from sagas.states import TERMINAL
from tests.chaos.checker import Violation

PAUSE = 0.5
LOOK = "SELECT id::text, status, fence, revision, parent_id IS NOT NULL FROM sagas_saga"


class Seen(NamedTuple):
    """A saga at one look."""

    status: str
    fence: int
    revision: int
    is_child: bool = False


class Observer:
    """A thread that compares what it sees with what it saw before."""

    def __init__(self, database: str) -> None:
        self.violations: list[Violation] = []
        self.looks = 0
        self._database = database
        self._before: dict[str, Seen] = {}
        self._over = Event()
        self._thread = Thread(target=self._run, name="observer")

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def compare(self, rows: list[tuple[Any, ...]]) -> None:
        """Compare what is seen now with what was seen before."""
        seen = {row[0]: Seen(*row[1:]) for row in rows}
        for saga, before in self._before.items():
            for what in _changes(before, seen.get(saga)):
                self.violations.append(Violation("I12 what has ended stays so", saga, what))
        self._before |= seen
        self.looks += 1

    def _run(self) -> None:
        while not self._over.wait(PAUSE):
            try:
                with psycopg.connect(self._database, autocommit=True, connect_timeout=2) as connection:
                    while not self._over.wait(PAUSE):
                        self.compare(connection.execute(LOOK).fetchall())
            except psycopg.Error:
                time.sleep(PAUSE)  # It is being restarted.


def _changes(before: Seen, now: Seen | None) -> Iterator[str]:
    if now is None:
        yield "it is gone"
        return
    is_undone_part = before.is_child and before.status == "completed"
    if before.status in TERMINAL and now.status != before.status and not is_undone_part:
        yield f"it had ended as {before.status}, and is {now.status}"
    if now.fence < before.fence:
        yield f"its fence fell from {before.fence} to {now.fence}"
    if now.revision < before.revision:
        yield f"its revision fell from {before.revision} to {now.revision}"
