"""Deletes what has ended and whose time is over."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError

from sagas.clock import database_now
from sagas.conf import saga_settings
from sagas.management.commandline import Interruption, actor, as_json, ask, duration
from sagas.models import Saga
from sagas.operations.retention import Wanted, count, prune
from sagas.states import TERMINAL, SagaStatus


class Command(BaseCommand):
    help = (
        "Delete the sagas that ended longer ago than this, with their steps and history; and events that "
        "were handled and batches that are over. What has not ended, needs a person or is still needed "
        "stays. Each chunk leaves a row that says who deleted how much."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than",
            type=duration,
            default=timedelta(days=90),
            metavar="DURATION",
            help="Only what ended longer ago than this (default: 90d).",
        )
        parser.add_argument(
            "--status",
            action="append",
            choices=[status.value for status in TERMINAL],
            help="Only sagas that ended so, and no events and batches; may be repeated.",
        )
        parser.add_argument("--definition", help="Only sagas of this definition, and no events and batches.")
        parser.add_argument(
            "--archive",
            type=Path,
            metavar="FILE",
            help="Append what is deleted to this file first: gzipped lines of JSON, all data included.",
        )
        parser.add_argument("--reason", default="", help="Why; what is recorded keeps it.")
        parser.add_argument("--dry-run", action="store_true", help="Count it, and delete nothing.")
        parser.add_argument("--no-input", action="store_false", dest="interactive", help="Do not ask.")
        parser.add_argument("--json", action="store_true", dest="json", help="Print one JSON object.")

    def handle(
        self,
        *,
        older_than: timedelta,
        status: list[str] | None,
        definition: str | None,
        archive: Path | None,
        reason: str,
        dry_run: bool,
        interactive: bool,
        json: bool,
        **options: Any,
    ) -> None:
        if older_than < (least := saga_settings().idempotency_ttl):
            raise CommandError(
                f"Whoever repeats a start or an event within {least} (SAGAS['IDEMPOTENCY_TTL']) must find "
                f"the first one. Delete only what is older than that, not {older_than}."
            )
        statuses = [SagaStatus(each) for each in status] if status else TERMINAL
        wanted = Wanted(database_now(Saga.objects.db) - older_than, statuses, definition)
        if dry_run or interactive:
            found = count(wanted)
            if dry_run:
                self._tell(found, "would be deleted", json)
                return
            ask(self, f"Delete {_told(found)}?")
        with Interruption() as interruption:
            try:
                deleted = prune(
                    wanted, by=actor(), reason=reason, archive=archive, is_stopping=lambda: interruption.came
                )
            except OSError as error:
                raise CommandError(
                    f"{archive} could not be written, so nothing more was deleted: {error}."
                ) from error
            self._tell(deleted, "deleted", json)

    def _tell(self, counts: Counter[str], what: str, json: bool) -> None:
        self.stdout.write(as_json(counts) if json else f"{_told(counts)} {what}.")


def _told(counts: Counter[str]) -> str:
    """Return numbers as people read them: 3 sagas, 12 steps."""
    named = []
    for label, number in sorted(counts.items()):
        names = apps.get_model(label)._meta
        named.append(f"{number} {names.verbose_name if number == 1 else names.verbose_name_plural}")
    return ", ".join(named) or "Nothing"
