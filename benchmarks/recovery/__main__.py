"""Measures how long work stands still after a fault, under `manage.py saga_cluster`.

    python -m benchmarks.recovery [--rounds 10]

On a throw-away PostgreSQL, with the default lease of 30 seconds. Linux only.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from statistics import median

import django
from django.core.management import call_command

from benchmarks.deployed import deploy
from tests.postgres import fresh_server


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with fresh_server() as server:
        deploy(server.address)
        django.setup()
        from benchmarks.recovery.faults import FAULTS, supervised  # Its models want the settings above.

        call_command("migrate", run_syncdb=True, verbosity=0)
        sys.stdout.write("| until work goes on after | median | worst |\n|---|---:|---:|\n")
        for name, fault in FAULTS.items():
            with supervised() as session:
                times = [fault(session, server) for _ in range(rounds)]
            sys.stdout.write(f"| {name} | {median(times):.1f} s | {max(times):.1f} s |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
