"""Measures procrastinate: chains are deferred in batches, and carried on by two workers."""

from __future__ import annotations

import os
import time
from typing import Any

import psycopg

from benchmarks.databases import analyse
from benchmarks.peers import score
from benchmarks.peers.procrastinate.app import app, step_0
from benchmarks.processes import members


def main() -> None:
    given = score.arguments(description=__doc__)
    with (
        psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection,
        app.open(),
    ):
        app.schema_manager.apply_schema()
        with members(*score.workers("procrastinate")):
            _run(given.warm_up, connection, before=0)
            analyse()
            began = time.time()
            _run(given.sagas, connection, before=given.warm_up)
            [(ended,)] = connection.execute(
                "SELECT extract(epoch FROM max(at))::float FROM procrastinate_events WHERE type = 'succeeded'"
            ).fetchall()
    score.say(sagas=given.sagas, began=began, ended=ended)


def _run(sagas: int, connection: psycopg.Connection[Any], *, before: int) -> None:
    for first in range(0, sagas, score.CHUNK):
        step_0.batch_defer(*[{}] * min(score.CHUNK, sagas - first))
    expected = score.STEPS * (before + sagas)

    def have_all_succeeded() -> bool:
        succeeded = connection.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
        ).fetchone()
        return succeeded == (expected,)

    score.wait_until(have_all_succeeded, what=f"{expected} jobs succeed")


if __name__ == "__main__":
    main()
