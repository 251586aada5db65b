from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Min

from sagas.clock import database_now
from sagas.figures.census import census
from sagas.figures.staff import workers
from sagas.management.commandline import ExitCode, as_json, duration
from sagas.messaging.backlog import deliveries_due
from sagas.models import Saga


@dataclass(frozen=True)
class Health:
    """What a monitor asks."""

    stuck: int
    """Sagas that are due, and nobody moves them."""
    attention: int
    """Sagas that need a person."""
    dead_letters: int
    outbox_lag: float
    """Seconds for which the oldest event that could be handled has not been."""
    workers: int
    """Runners that beat. An idle cluster has none."""


def health() -> Health:
    """Look at the database: three statements, in partial indexes."""
    now = database_now(Saga.objects.db)
    found = census(now)
    oldest = deliveries_due().order_by().aggregate(at=Min("due_at"))["at"]
    return Health(
        stuck=found.stuck,
        attention=found.attention,
        dead_letters=found.dead_letters,
        outbox_lag=(now - oldest).total_seconds() if oldest else 0.0,
        workers=sum(worker.is_alive for worker in workers(now)),
    )


class Command(BaseCommand):
    help = "Say how sagas fare, and exit 4 if a limit is broken: for monitors and probes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--max-stuck", type=int, default=0, metavar="N", help="So many may be stuck (default: 0)."
        )
        parser.add_argument(
            "--max-outbox-lag",
            type=duration,
            default=timedelta(seconds=60),
            metavar="DURATION",
            help="So long may an event that could be handled wait (default: 60s).",
        )
        parser.add_argument(
            "--max-attention", type=int, metavar="N", help="So many may need a person (default: any number)."
        )
        parser.add_argument("--json", action="store_true", dest="json", help="Print one JSON object.")

    def handle(
        self,
        *,
        max_stuck: int,
        max_outbox_lag: timedelta,
        max_attention: int | None,
        json: bool,
        **options: Any,
    ) -> None:
        found = health()
        figures = asdict(found)
        told = "\n".join(f"{name.replace('_', ' '):<13} {number:g}" for name, number in figures.items())
        self.stdout.write(as_json(figures) if json else told)
        broken = []
        if found.stuck > max_stuck:
            broken.append(f"{found.stuck} stuck, above {max_stuck}")
        if found.outbox_lag > max_outbox_lag.total_seconds():
            broken.append(f"an event waits for {found.outbox_lag:.0f} s, above {max_outbox_lag}")
        if max_attention is not None and found.attention > max_attention:
            broken.append(f"{found.attention} need a person, above {max_attention}")
        if broken:
            raise CommandError(f"Not well: {'; '.join(broken)}.", returncode=ExitCode.ATTENTION)
