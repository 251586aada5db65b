from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from sagas.clock import database_now
from sagas.figures.staff import workers
from sagas.management.commandline import as_json, table, whole_seconds
from sagas.models import Worker

HEADS = ("HOST", "PID", "QUEUE", "BUSY", "SLOTS", "UP", "LAST BEAT")


class Command(BaseCommand):
    help = (
        "List the runners at work, those that beat last first. Between wake-ups none need be: an idle "
        "cluster has no runner."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="json", help="Print one JSON object a line.")

    def handle(self, *, json: bool, **options: Any) -> None:
        now = database_now(Worker.objects.db)
        found = workers(now)
        if json:
            for worker in found:
                self.stdout.write(as_json(asdict(worker)))
        elif found:
            rows = [
                (
                    worker.host,
                    str(worker.pid),
                    worker.queue,
                    str(worker.busy),
                    str(worker.slots),
                    str(whole_seconds(now - worker.started_at)),
                    f"{whole_seconds(now - worker.beat_at)} ago{'' if worker.is_alive else ', dead'}",
                )
                for worker in found
            ]
            self.stdout.write(table([HEADS, *rows]))
        else:
            self.stderr.write("No runner is at work.")
