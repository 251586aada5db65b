from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand

from sagas.management.commandline import as_json, table
from sagas.queue import schedules


class Command(BaseCommand):
    help = (
        "Have django-q2's scheduler look every minute for sagas that got stuck, and delete what has expired "
        "every hour. Run it with --install on each deployment; it is of no use beside saga_cluster."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        how = parser.add_mutually_exclusive_group(required=True)
        how.add_argument("--install", action="store_true", help="Create or correct them. Safe at any time.")
        how.add_argument("--remove", action="store_true", help="Delete them.")
        how.add_argument("--show", action="store_true", help="Show them.")
        parser.add_argument("--json", action="store_true", dest="json", help="Print one JSON object.")

    def handle(self, *, install: bool, remove: bool, json: bool, **options: Any) -> None:
        if install:
            done = schedules.install()
        elif remove:
            done = schedules.remove()
        else:
            done = dict(_states())
        told = table(list(done.items())) if done else "None is installed."
        self.stdout.write(as_json(done) if json else told)


def _states() -> Iterator[tuple[str, str]]:
    """Yield each schedule's name and how it stands."""
    found = schedules.installed()
    for planned in schedules.PLANNED:
        schedule = found.get(planned.name)
        if schedule is None:
            yield planned.name, "not installed"
        elif schedules.differs(schedule, planned):
            yield planned.name, "differs from what --install would write"
        else:
            yield (
                planned.name,
                f"every {planned.minutes} min, next at {schedule.next_run:%Y-%m-%d %H:%M:%S %Z}",
            )
