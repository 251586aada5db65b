"""Starts as many workflows as each line of its input says, and runs them."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import sys

from dbos import DBOS

from benchmarks.peers.dbos.app import config, saga


def main() -> None:
    DBOS(config=config(f"worker-{sys.argv[1]}"))
    DBOS.launch()
    for line in sys.stdin:
        for _ in range(int(line)):
            DBOS.start_workflow(saga)


if __name__ == "__main__":
    main()
