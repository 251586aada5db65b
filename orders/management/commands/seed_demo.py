from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections, transaction

from orders.demo.past import Past, past
from orders.demo.storing import store
from sagas.clock import database_now
from sagas.management.commandline import positive
from sagas.models import HistoryEntry, Saga, SagaStep

AT_ONCE = 5_000


class Command(BaseCommand):
    help = (
        "Fill the database with sagas of the past two weeks, as workers would have left them: most are "
        "completed, others compensated, failed for a handful of reasons, suspended or waiting. None is due. "
        "For trying the console at size. Refused with DEBUG=0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--sagas", type=positive, default=10_000, metavar="N", help="So many (default: %(default)s)."
        )
        parser.add_argument("--seed", type=int, default=1, help="Draws their fates (default: %(default)s).")

    def handle(self, *, sagas: int, seed: int, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(
                "seed_demo makes up sagas that never ran, so it is refused with DEBUG=0. Run it with "
                "DEBUG=1, on a database that holds nothing of value."
            )
        using = Saga.objects.db
        began = time.monotonic()
        life = past(sagas, until=database_now(using), seed=seed)
        stored = 0
        while batch := list(islice(life, AT_ONCE)):
            _store(using, batch)
            stored += len(batch)
            if sys.stderr.isatty():
                self.stderr.write(f"\r{stored} of {sagas}", ending="")
        _make_known(using)
        took = time.monotonic() - began
        self.stdout.write(f"Stored {stored} sagas in {took:.0f} s. See them at /admin/sagas/saga/.")


def _store(using: str, batch: list[Past]) -> None:
    with transaction.atomic(using=using):
        store(using, Saga, [each.saga for each in batch])
        store(using, SagaStep, [step for each in batch for step in each.steps])
        store(using, HistoryEntry, [entry for each in batch for entry in each.history])


def _make_known(using: str) -> None:
    """Tell the database what it holds now, as it would find out by itself in time."""
    connection = connections[using]
    can_vacuum = connection.vendor == "postgresql" and not connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if can_vacuum else "ANALYZE")
