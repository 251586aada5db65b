from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sagas.management.commandline import ExitCode, as_json, table
from sagas.operations.drift import Drift, drifts

HEAD = ("DEFINITION", "VERSION", "SAGAS", "ONE OF THEM", "WHY")


class Command(BaseCommand):
    help = (
        "Show the live sagas of this database that the code in front of you would halt, or cannot run: to be "
        "asked before you deploy. A saga goes on by the steps it was begun with, as the migrations of its "
        "definition say."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--definition", help="Only sagas of this definition.")
        parser.add_argument("--check", action="store_true", help="Exit 4 if there are any: for a pipeline.")
        parser.add_argument("--json", action="store_true", dest="json", help="Print one JSON object a line.")

    def handle(self, *, definition: str | None, check: bool, json: bool, **options: Any) -> None:
        found = drifts(definition)
        if json:
            for drift in found:
                self.stdout.write(as_json(asdict(drift)))
        elif found:
            self.stdout.write(table([HEAD, *map(_row, found)]))
        else:
            self.stdout.write("Every live saga fits this code.")
        if check and found:
            number = sum(drift.sagas for drift in found)
            raise CommandError(
                f"{number} {'saga does' if number == 1 else 'sagas do'} not fit this code. Say in "
                "`migrations` what became of their steps, or keep the steps until the sagas have ended.",
                returncode=ExitCode.ATTENTION,
            )


def _row(drift: Drift) -> tuple[str, ...]:
    return drift.definition, str(drift.version), str(drift.sagas), str(drift.example), drift.why
