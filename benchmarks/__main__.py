"""Measures everything, or what is asked for, and writes it down.

    python -m benchmarks [--only async,dbos] [--rounds 1] [--sagas 1000]
    python -m benchmarks growth
    python -m benchmarks report

What is measured in part, less often or on a smaller scale is shown, and not written down.
"""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter

from benchmarks import report, results
from benchmarks.aging import Age, measure_age
from benchmarks.capabilities import NOTIFY_BROKER
from benchmarks.contest import Failed, compete, our_tables
from benchmarks.contestants import all_contestants
from benchmarks.databases import Databases
from tests.postgres import NoServer, postgres

ROUNDS = 3
SAGAS = 5000
FINISHED = 1_000_000
MEMORY_SAGAS = 100_000
"""What the bars are meant for."""

NO_RESULTS = "There are no results yet: run `python -m benchmarks` first."


def main() -> int:
    given = _arguments()
    if given.what == "report":
        return publish()
    for each in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(each, lambda number, frame: sys.exit(128 + number))
    try:
        with postgres() as server:
            return WHAT[given.what](given, Databases(server))
    except NoServer as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        return 130


def publish() -> int:
    """Write the last results into the documentation once more."""
    document = results.read()
    if not document:
        sys.exit(NO_RESULTS)
    report.publish(document)
    return 0


def contest(given: Namespace, databases: Databases) -> int:
    """Measure everyone; write the results down if nobody was left out."""
    everyone = list(all_contestants(sagas=given.sagas, broker=given.broker))
    wanted = given.only.split(",") if given.only else [contestant.name for contestant in everyone]
    if unknown := sorted(set(wanted) - {contestant.name for contestant in everyone}):
        sys.exit(f"There is no {', '.join(unknown)}. There are {', '.join(each.name for each in everyone)}.")
    with our_tables(databases):
        record = compete([each for each in everyone if each.name in wanted], databases, rounds=given.rounds)
    document = results.of_contest(
        record,
        sagas=given.sagas,
        postgresql=databases.version(),
        growth=results.read().get("ours", {}).get("growth"),
    )
    if given.only or record.failed or given.rounds < ROUNDS or given.sagas < SAGAS:
        sys.stdout.write(report.figures(document))
    else:
        _write_down(document)
    return int(record.failed)


def growth(given: Namespace, databases: Databases) -> int:
    """Measure what age does to it, and make that a part of the last results."""
    is_whole = given.finished >= FINISHED and given.memory_sagas >= MEMORY_SAGAS and given.rounds >= ROUNDS
    document = results.read()
    if is_whole and not document:
        sys.exit(NO_RESULTS)
    age = Age(given.sagas, given.finished, given.memory_sagas, given.rounds)
    try:
        figures = measure_age(age, databases)
    except Failed as error:
        sys.exit(str(error))
    if is_whole:
        document["ours"]["growth"] = figures | {"date": results.today()}
        _write_down(document)
    else:
        sys.stdout.write(f"{figures}\n")
    return 0


def _write_down(document: results.Document) -> None:
    results.write(document)
    written = results.read()
    report.publish(written)
    sys.stdout.write(report.figures(written))


def _arguments() -> Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=[*WHAT, "report"], default="contest")
    parser.add_argument("--only", default="", help="names of contestants, with commas between them")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--sagas", type=int, default=SAGAS, help="the workload's; the others' follow from it")
    parser.add_argument("--broker", default=NOTIFY_BROKER, help="the one that is woken by NOTIFY")
    parser.add_argument("--finished", type=int, default=FINISHED, help="sagas in the full tables")
    parser.add_argument("--memory-sagas", type=int, default=MEMORY_SAGAS)
    return parser.parse_args()


WHAT = {"contest": contest, "growth": growth}

if __name__ == "__main__":
    sys.exit(main())
