"""Measures the REST API with wrk, on a throw-away PostgreSQL.

    python -m benchmarks.http [--sagas 1000000] [--workers 2] [--connections 8] [--seconds 10] [--rounds 3]

Needs wrk (Debian: `apt-get install wrk`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.deployed import deploy
from tests.postgres import postgres
from tests.served import Served

STARTS = Path(__file__).with_name("starts.lua")
ROW = "| {what} | {by} | {per_second:.0f} | {median:.1f} ms | {p99:.0f} ms | {worst:.0f} ms |"
FIGURES = ("per_second", "median", "p99")
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Measured:
    """What wrk says of one endpoint."""

    per_second: float
    median: float
    """Milliseconds, and so is the other."""
    p99: float


def main() -> int:
    given = _arguments()
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("wrk is not installed. On Debian and Ubuntu: apt-get install wrk.")
    with postgres() as address:
        deploy(address, LOG_LEVEL="ERROR")
        import django

        django.setup()
        _measure(given, wrk)
    return 0


def _measure(given: Namespace, wrk: str) -> None:
    from benchmarks.http.shop import open_shop

    opened = open_shop(sagas=given.sagas)
    sys.stdout.write(
        f"uvicorn with {given.workers} workers, {given.connections} connections, "
        f"{given.sagas:,} finished sagas, {os.cpu_count()} cores\n\n"
        f"Medians of {given.rounds} rounds; which process gets how many of the connections is chance.\n\n"
        "| request | by | requests/s | median | p99 | worst p99 |\n|---|---|---:|---:|---:|---:|\n"
    )
    detail, one_page = f"/api/v1/sagas/{opened.saga}/", "/api/v1/sagas/?page_size=50"
    with Served(workers=given.workers) as served:
        for by, token in opened.tokens.items():
            for what, path, connections in (
                ("GET a saga", detail, given.connections),
                ("GET a list of 50", one_page, 1),
                ("POST a saga", "", given.connections),
            ):
                command = [wrk, "--threads", "1", "--connections", str(connections), "--latency"]
                command += (
                    ["--header", f"Authorization: Token {token}"] if path else ["--script", str(STARTS)]
                )
                command.append(served.url + path)
                _run([*command, "--duration", "2s"], token)  # Threads and connections are made.
                timed = [*command, "--duration", f"{given.seconds}s"]
                rounds = [_run(timed, token) for _ in range(given.rounds)]
                middle = {name: median(getattr(each, name) for each in rounds) for name in FIGURES}
                worst = max(each.p99 for each in rounds)
                sys.stdout.write(ROW.format(what=what, by=by, worst=worst, **middle) + "\n")
                sys.stdout.flush()


def _run(command: list[str], token: str) -> Measured:
    said = subprocess.run(
        command, env=os.environ | {"TOKEN": token}, check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(f"Not every request was answered: {said}")
    found = re.search(r"50%\s+(\S+).*99%\s+(\S+).*Requests/sec:\s+(\S+)", said, re.DOTALL)
    if found is None:
        sys.exit(f"wrk said what is not understood: {said}")
    median_, p99, rate = found.groups()
    return Measured(float(rate), _milliseconds(median_), _milliseconds(p99))


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]  # wrk's form.
    return float(number) * MILLISECONDS[unit]


def _arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--sagas", type=int, default=1_000_000, help="Finished sagas in the tables.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=10, help="For each request and identity.")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
