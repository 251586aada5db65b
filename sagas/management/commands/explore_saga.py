from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from sagas.engine.exploration import Path, explore
from sagas.management.commandline import as_json, registered, table, whole_seconds

HEAD = ("WHAT GOES WRONG", "CALLS", "TAKES", "STATUS", "WHY A PERSON", "STANDS")


class Command(BaseCommand):
    help = (
        "Show what becomes of a saga in each single thing that can go wrong: the calls that are made, where "
        "it ends, and whose effect stands then. Nothing is called, and no database is asked."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("definition", type=registered, help="The name of a registered definition.")
        parser.add_argument("--json", action="store_true", dest="json", help="Print one JSON object a line.")

    def handle(self, *, definition: Any, json: bool, **options: Any) -> None:
        paths = list(explore(definition))
        if json:
            for path in paths:
                self.stdout.write(as_json(asdict(path)))
        else:
            self.stdout.write(table([HEAD, *map(_row, paths)]))


def _row(path: Path) -> tuple[str, ...]:
    return (
        path.trouble,
        ", ".join(path.calls_in_short),
        str(whole_seconds(path.takes)) if path.takes > timedelta(seconds=1) else "",
        path.status,
        path.attention,
        ", ".join(path.stands),
    )
