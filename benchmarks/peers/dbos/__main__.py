"""Measures DBOS: two processes, each of which starts half of the workflows and runs them.

A queue between starting and running, which DBOS has too, only makes it slower.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

import psycopg
from dbos import DBOS

from benchmarks.databases import analyse
from benchmarks.peers import score
from benchmarks.peers.dbos.app import address
from benchmarks.processes import members


def main() -> None:
    given = score.arguments(description=__doc__)
    DBOS.migrate(address())
    with (
        psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection,
        members(*score.workers("dbos")) as workers,
    ):
        warm_up = _run(given.warm_up, workers, connection, before=0)
        analyse()
        began = time.time()
        sagas = _run(given.sagas, workers, connection, before=warm_up)
        [(ended, steps)] = connection.execute(
            "SELECT (SELECT max(completed_at) FROM dbos.workflow_status) / 1000.0,"
            " (SELECT count(*) FROM dbos.operation_outputs)"
        ).fetchall()
    if steps != score.STEPS * (warm_up + sagas):
        raise RuntimeError(f"{steps} steps were recorded for {warm_up + sagas} workflows.")
    score.say(sagas=sagas, began=began, ended=float(ended))


def _run(
    sagas: int, workers: list[subprocess.Popen[str]], connection: psycopg.Connection[Any], *, before: int
) -> int:
    each = sagas // len(workers)
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(f"{each}\n")
        worker.stdin.flush()
    expected = before + each * len(workers)

    def have_all_succeeded() -> bool:
        succeeded = connection.execute(
            "SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'"
        ).fetchone()
        return succeeded == (expected,)

    score.wait_until(have_all_succeeded, what=f"{expected} workflows succeed")
    return each * len(workers)


if __name__ == "__main__":
    main()
