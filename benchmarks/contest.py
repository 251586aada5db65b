"""The contest: everyone in turns, round after round, so that what the machine does meanwhile meets all."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import IO

from benchmarks.contestants import PROJECT, Contestant, NotHere, environment
from benchmarks.databases import Databases
from benchmarks.processes import group

WITHIN = 900
"""Seconds: no script takes so long, except one that hangs."""
LAST_WORDS = 2000
MIGRATE = [sys.executable, "-m", "django", "migrate"]

Figures = Mapping[str, float]


class Failed(Exception):
    """A script failed; the text is the last it said."""


@dataclass
class Record:
    """What was measured, and what was not."""

    rounds: dict[str, list[Figures]] = field(default_factory=lambda: defaultdict(list))
    """By contestant; one entry for each round."""
    not_run: dict[str, str] = field(default_factory=dict)
    """Why."""
    failed: bool = False
    """Somebody did not get through, who should have."""

    def medians(self) -> dict[str, dict[str, float]]:
        """Return each contestant's figures, each the median of its rounds."""
        return {
            name: {figure: median(each[figure] for each in rounds) for figure in rounds[0]}
            for name, rounds in self.rounds.items()
        }


def compete(contestants: Sequence[Contestant], databases: Databases, *, rounds: int) -> Record:
    """Measure everyone so many times; whoever cannot run, or fails, is left out from then on."""
    record = Record()
    for round_ in range(rounds):
        for contestant in contestants:
            if contestant.name in record.not_run:
                continue
            say(f"round {round_ + 1}: {contestant.name} ")
            try:
                with databases.fresh(contestant.name, template=contestant.template) as address:
                    figures = measure(contestant, address)
            except NotHere as error:
                record.not_run[contestant.name] = str(error)
                say(f"not run: {error}\n")
            except Failed as error:
                record.not_run[contestant.name] = "it failed"
                record.rounds.pop(contestant.name, None)
                record.failed = True
                say(f"failed: {error}\n")
            else:
                record.rounds[contestant.name].append(figures)
                say(", ".join(f"{figure} {value:.1f}" for figure, value in figures.items()) + "\n")
    return record


@contextmanager
def our_tables(databases: Databases) -> Iterator[None]:
    """Have a database with our tables, which others can be made copies of."""
    with databases.fresh(PROJECT) as address:
        run([*MIGRATE, "--run-syncdb", "--verbosity=0"], environment(address))
        yield


def measure(contestant: Contestant, address: str) -> Figures:
    """Run a contestant on this database and return its figures. Raise `NotHere` or `Failed`."""
    said = run(contestant.invocation(), environment(address, **contestant.environment))
    figures: Figures = json.loads(said.splitlines()[-1])
    return figures


def run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a command to its end and return what it said; afterwards nothing is left of it. Raise `Failed`."""
    with (
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
        group(command, env=environment, stdout=output.fileno(), stderr=errors.fileno()) as process,
    ):
        try:
            code = process.wait(WITHIN)
        except subprocess.TimeoutExpired:
            raise Failed(f"it was not done within {WITHIN} s. {_read(errors)[-LAST_WORDS:]}") from None
        if code:
            raise Failed(f"it exited with {code}. {_read(errors)[-LAST_WORDS:]}")
        return _read(output)


def say(text: str) -> None:
    """Tell whoever watches."""
    sys.stderr.write(text)
    sys.stderr.flush()


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
