"""Measures events from their publication until they are handled, by two django-q2 workers.

    python -m benchmarks.events [--events 20000] [--rounds 3]

On a throw-away PostgreSQL. The handlers do nothing, or publish one event more.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from statistics import median

import django
from django.core.management import call_command

from benchmarks.capabilities import NOTIFY_BROKER
from benchmarks.deployed import deploy
from tests.postgres import fresh_server


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.events", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with fresh_server() as server:
        deploy(server.address, BENCHMARKS_BROKER=NOTIFY_BROKER)
        django.setup()
        from benchmarks.events.measuring import MEASURED  # Its models want the settings above.

        call_command("migrate", run_syncdb=True, verbosity=0)
        sys.stdout.write("| events | median | worst of the rounds |\n|---|---:|---:|\n")
        for name, unit, measure in MEASURED:
            found = [measure(given.events) for _ in range(given.rounds)]
            worst = min(found) if unit == "/s" else max(found)
            sys.stdout.write(f"| {name} | {median(found):,.0f} {unit} | {worst:,.0f} {unit} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
