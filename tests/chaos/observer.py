"""Looks at the sagas all the time, past the proxy: what has ended stays so, and no fence falls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import psycopg

from sagas.states import TERMINAL
from tests.chaos.checker import Violation

PAUSE = 0.5
LOOK = "SELECT id::text, status, fence, revision FROM sagas_saga"


class Observer:
    """A thread that compares what it sees with what it saw before."""

    def __init__(self, database: str) -> None:
        self.violations: list[Violation] = []
        self.looks = 0
        self._database = database
        self._before: dict[str, tuple[str, int, int]] = {}
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
        seen = {row[0]: (row[1], row[2], row[3]) for row in rows}
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


def _changes(before: tuple[str, int, int], now: tuple[str, int, int] | None) -> Iterator[str]:
    if now is None:
        yield "it is gone"
        return
    if before[0] in TERMINAL and now[0] != before[0]:
        yield f"it had ended as {before[0]}, and is {now[0]}"
    if now[1] < before[1]:
        yield f"its fence fell from {before[1]} to {now[1]}"
    if now[2] < before[2]:
        yield f"its revision fell from {before[2]} to {now[2]}"
