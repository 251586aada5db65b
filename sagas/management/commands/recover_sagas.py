from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from sagas.management.commandline import (
    ExitCode,
    as_json,
    duration,
    positive,
    saga_id,
    table,
    whole_seconds,
)
from sagas.management.recovery import Found, Summary, Wanted, ring, run
from sagas.operations.catalogue import STUCK_AFTER


class Command(BaseCommand):
    help = (
        "Find the sagas that are due and held by nobody, or whose worker is gone, and ask the workers to "
        "take them. With --run, run them here, whatever has become of the queue. Safe at any time, and twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than",
            type=duration,
            metavar="DURATION",
            help="Only those overdue by more than this: 30s, 5m, 1h, 2d (default: whatever is due; with "
            f"--check {STUCK_AFTER.seconds}s).",
        )
        parser.add_argument("--definition", help="Only those of this definition.")
        parser.add_argument(
            "--saga", type=saga_id, action="append", metavar="ID", help="Only this one; may be repeated."
        )
        parser.add_argument("--limit", type=positive, help="At most so many, the longest overdue first.")
        parser.add_argument("--json", action="store_true", dest="json", help="Print one JSON object.")
        how = parser.add_mutually_exclusive_group()
        how.add_argument(
            "--run", action="store_true", dest="here", help="Run them in this process until none is due."
        )
        how.add_argument("--dry-run", action="store_true", help="Say what was found, and do nothing.")
        how.add_argument(
            "--check", action="store_true", help="Do nothing, and exit 4 if anything was found: for monitors."
        )

    def handle(
        self,
        *,
        older_than: timedelta | None,
        definition: str | None,
        saga: list[UUID] | None,
        limit: int | None,
        json: bool,
        here: bool,
        dry_run: bool,
        check: bool,
        **options: Any,
    ) -> None:
        if older_than is None:
            older_than = STUCK_AFTER if check else timedelta(0)
        wanted = Wanted(older_than, definition, tuple(saga or ()), limit)
        found = wanted.find()
        if not json:
            self._list(found)
        summary = Summary.of(found) if dry_run or check else _recover(wanted, found, here=here)
        self.stdout.write(as_json(asdict(summary)) if json else _told(summary, dry_run or check, here))
        if check and found:
            raise CommandError(
                f"{_sagas(len(found))} should have moved more than {older_than} ago. Recover them with: "
                "manage.py recover_sagas",
                returncode=ExitCode.ATTENTION,
            )

    def _list(self, found: list[Found]) -> None:
        if found:
            self.stdout.write(table([_row(saga) for saga in found]))


def _recover(wanted: Wanted, found: list[Found], *, here: bool) -> Summary:
    return run(wanted, found) if here else ring(found)


def _row(saga: Found) -> tuple[str, ...]:
    return (
        str(saga.id),
        saga.label,
        saga.status,
        saga.lost.value,
        f"overdue by {whole_seconds(saga.overdue_by)}",
        "" if saga.can_run else "no code here runs its definition",
    )


def _told(summary: Summary, only_looked: bool, here: bool) -> str:
    if not summary.scanned:
        return "Nothing is overdue."
    if only_looked:
        return f"Found {_sagas(summary.scanned)}, and did nothing."
    done = "Ran" if here else "Asked the workers to take"
    told = f"Found {_sagas(summary.scanned)}. {done} {summary.recovered + summary.failed}."
    if summary.failed:
        told += f" {summary.failed} failed and need a person: manage.py list_sagas --failed"
    if summary.skipped:
        told += f" {summary.skipped} stand as they stood: others have them, or no code here runs them."
    return told


def _sagas(number: int) -> str:
    return f"{number} saga" if number == 1 else f"{number} sagas"
