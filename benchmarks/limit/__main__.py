"""Runs pgbench on the database at hand, and prints how many sagas it would have run in a second."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import psycopg

from benchmarks.databases import analyse

HERE = Path(__file__).parent
CLIENTS = 16
THREADS = 2


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.limit", description=__doc__)
    parser.add_argument("pgbench", help="where the program is")
    parser.add_argument("script", choices=["transactions", "one_statement"])
    parser.add_argument("--sagas", type=int, required=True)
    parser.add_argument("--warm-up", type=int, required=True)
    given = parser.parse_args()
    address = os.environ["DATABASE_URL"]
    with psycopg.connect(address) as connection:
        connection.execute((HERE / "schema.sql").read_bytes())
    pgbench(given.pgbench, given.script, address, sagas=given.warm_up)
    analyse()
    per_second = pgbench(given.pgbench, given.script, address, sagas=given.sagas)
    sys.stdout.write(json.dumps({"sagas_per_s": per_second}) + "\n")


def pgbench(program: str, script: str, address: str, *, sagas: int) -> float:
    """Run a script once for each saga, by 16 clients, and return the rate."""
    ran = subprocess.run(
        [
            program,
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={CLIENTS}",
            f"--jobs={THREADS}",
            f"--transactions={max(1, sagas // CLIENTS)}",  # pgbench's word for a run of the script.
            f"--file={HERE / script}.sql",
            address,
        ],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    rate = re.search(r"^tps = ([\d.]+) \(without", ran.stdout, re.MULTILINE)
    if rate is None:
        raise RuntimeError(f"pgbench named no rate: {ran.stdout}")
    return float(rate[1])


if __name__ == "__main__":
    main()
