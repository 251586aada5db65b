"""How long one saga takes, from before its start until its end can be read, at work and when idle.

Its end is looked for every two milliseconds, and only while a timed saga is under way: by a statement that is
prepared, for the processors are those of the workers too.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from statistics import quantiles
from threading import Thread
from time import monotonic, perf_counter, sleep
from typing import Self
from uuid import UUID

import psycopg

from benchmarks.cluster import TookTooLong, cluster, wait_until
from benchmarks.databases import analyse
from benchmarks.ours import has_nothing_to_do, run
from sagas import start
from sagas.models import Worker

DEFINITION = "benchmarks.async"
BACKGROUND = 5
"""So many sagas are started for each one that is timed,"""
RATE = 60
"""and so many of both in a second: 50 in the background, and 10 that are timed."""
LOOK_EVERY = 0.002
WITHIN = 30.0
STAYS = 3.0
"""After so long without work a cluster counts as idle, whatever still runs in it."""


def warm(*, sagas: int, warm_up: int) -> dict[str, float]:
    """Time so many sagas among others, which come at random."""
    draw = random.Random(1)
    with cluster():
        run(DEFINITION, warm_up)
        analyse()
        timing = Timing()
        timing.start()
        due = monotonic()
        for number in range(sagas * (BACKGROUND + 1)):
            due += draw.expovariate(RATE)
            sleep(max(0.0, due - monotonic()))
            began = perf_counter()
            saga = start(DEFINITION, {})
            if number % (BACKGROUND + 1) == BACKGROUND:
                timing.under_way[saga.pk] = began
        return _percentiles(timing.finish())


def idle(*, sagas: int, warm_up: int) -> dict[str, float]:
    """Time so many sagas, each alone in a cluster that has come to rest."""
    draw = random.Random(1)
    with cluster():
        run(DEFINITION, warm_up)
        analyse()
        return _percentiles([_alone(draw) for _ in range(sagas)])


def _alone(draw: random.Random) -> float:
    wait_until(has_nothing_to_do, within=WITHIN, what="the cluster has nothing to do")
    deadline = monotonic() + STAYS
    while Worker.objects.exists() and monotonic() < deadline:
        sleep(0.05)
    sleep(draw.uniform(0.1, 0.3))  # Not in step with what polls.
    with Watch() as watch:
        began = perf_counter()
        saga = start(DEFINITION, {})
        wait_until(
            lambda: bool(watch.ended([saga.pk])),
            within=WITHIN,
            what="one saga ends in an idle cluster",
            every=LOOK_EVERY,
        )
        return 1000 * (perf_counter() - began)


class Watch:
    """Looks which sagas have ended, on a connection of its own."""

    def __enter__(self) -> Self:
        self._connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        self.ended([])
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def ended(self, sagas: Sequence[UUID]) -> list[UUID]:
        """Return those of these sagas that have ended."""
        statement = "SELECT id FROM sagas_saga WHERE id = ANY(%s) AND ended_at IS NOT NULL"
        return [pk for (pk,) in self._connection.execute(statement, [list(sagas)], prepare=True)]


class Timing(Thread):
    """Watches sagas until they end."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.under_way: dict[UUID, float] = {}
        """When they were started."""
        self._took: list[float] = []
        self._no_more = False

    def finish(self) -> list[float]:
        """Wait for those under way, and return how many milliseconds each took."""
        self._no_more = True
        self.join(WITHIN)
        if self.is_alive():
            raise TookTooLong(f"{len(self.under_way)} sagas did not end within {WITHIN:.0f} s.")
        return self._took

    def run(self) -> None:
        with Watch() as watch:
            while self.under_way or not self._no_more:
                for ended in watch.ended(list(self.under_way)) if self.under_way else ():
                    self._took.append(1000 * (perf_counter() - self.under_way.pop(ended)))
                sleep(LOOK_EVERY)


def _percentiles(milliseconds: list[float]) -> dict[str, float]:
    cuts = quantiles(milliseconds, n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98]}
