from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from sagas.management.commandline import as_json, printable, record
from sagas.management.timeline import timeline
from sagas.models import Saga


class Command(BaseCommand):
    help = "Show a saga, its steps and what happened to it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("saga", metavar="ID|KEY", help="Its full id, or its business key.")
        parser.add_argument("--json", action="store_true", dest="json", help="Print one JSON object.")

    def handle(self, *, saga: str, json: bool, **options: Any) -> None:
        found, others = _find(saga)
        if others:
            ids = ", ".join(str(other) for other in others)
            self.stderr.write(f"This is the newest saga with that key. Earlier ones: {ids}")
        if json:
            self.stdout.write(
                as_json(
                    record(found)
                    | {
                        "steps": [record(step, without=["id", "saga"]) for step in found.steps.all()],
                        "history": [record(entry, without=["saga"]) for entry in found.history.all()],
                    }
                )
            )
        else:
            self.stdout.write("\n\n".join(timeline(found)))


def _find(given: str) -> tuple[Saga, list[UUID]]:
    """Return the saga of this id, or the newest with this key and the ids of the earlier ones."""
    try:
        found = Saga.objects.filter(pk=UUID(given)).first()
    except ValueError:
        found = None
    if found is not None:
        return found, []
    sagas = list(Saga.objects.filter(key=given).order_by("-created_at", "-id")[:10])
    if not sagas:
        raise CommandError(
            f"There is no saga with the id or key {printable(given)!r}. Look for it: manage.py list_sagas"
        )
    return sagas[0], [saga.pk for saga in sagas[1:]]
