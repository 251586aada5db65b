from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, close_old_connections

from sagas.engine.recovery import Lost
from sagas.management.commandline import (
    ExitCode,
    Interruption,
    actor,
    as_json,
    duration,
    positive,
    saga_id,
    table,
    whole_seconds,
)
from sagas.management.recovery import Found, Summary, Wanted, ring, run, turn_back
from sagas.operations.catalogue import STUCK_AFTER


def classes(text: str) -> tuple[Lost, ...]:
    """Read names of classes with commas between them."""
    try:
        return tuple(Lost(name.strip()) for name in text.split(","))
    except ValueError:
        known = ", ".join(lost.value for lost in Lost)
        raise ArgumentTypeError(f"{text!r} names no classes. They are: {known}.") from None


class Command(BaseCommand):
    help = (
        "Find the sagas that are due and held by nobody, whose worker is gone, or that nobody told what they "
        "wait for, and ask the workers to take them. With --run, run them here, whatever has become of the "
        "queue. Safe at any time, and twice."
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
        parser.add_argument(
            "--classes",
            type=classes,
            default=tuple(Lost),
            help="Only those lost in these ways, with commas between: lease, due, fact, event.",
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
        parser.add_argument(
            "--compensate",
            action="store_true",
            help="Turn back those that have not passed their pivot. Say which with --older-than or --saga.",
        )
        parser.add_argument("--reason", default="", help="Why they are turned back; the history keeps it.")
        parser.add_argument("--loop", action="store_true", help="Do it again and again, until SIGTERM.")
        parser.add_argument(
            "--interval",
            type=duration,
            default=timedelta(seconds=30),
            metavar="DURATION",
            help="With --loop, the time between two rounds (default: 30s).",
        )

    def handle(
        self,
        *,
        older_than: timedelta | None,
        definition: str | None,
        saga: list[UUID] | None,
        classes: tuple[Lost, ...],
        limit: int | None,
        loop: bool,
        interval: timedelta,
        **options: Any,
    ) -> None:
        if options["compensate"] and older_than is None and not saga:
            raise CommandError(
                "--compensate would turn back whatever is due at this moment. Say which sagas: with "
                "--older-than 1h those that have been stuck for an hour, with --saga ID a certain one."
            )
        if older_than is None:
            older_than = STUCK_AFTER if options["check"] else timedelta(0)
        wanted = Wanted(older_than, definition, tuple(saga or ()), classes, limit)
        with Interruption() as interruption:
            if not loop:
                self._round(wanted, interruption, **options)
            while loop and not interruption.came:
                try:
                    self._round(wanted, interruption, **options)
                except (DatabaseError, InterfaceError, CommandError) as error:
                    self.stderr.write(str(error))
                    close_old_connections()
                interruption.wait(interval)

    def _round(self, wanted: Wanted, interruption: Interruption, **options: Any) -> None:
        found = wanted.find()
        if found and not options["json"]:
            self.stdout.write(table([_row(saga) for saga in found]))
        only_looks = options["dry_run"] or options["check"]
        refusals: list[str] = []
        if only_looks:
            summary = Summary.of(found)
        else:
            if options["compensate"]:
                refusals = turn_back(found, by=actor(), reason=options["reason"])
            if options["here"]:
                summary = run(wanted, found, is_stopping=lambda: interruption.came)
            else:
                summary = ring(found)
        told = _told(summary, only_looks, options["here"])
        self.stdout.write(as_json(asdict(summary)) if options["json"] else told)
        for refusal in refusals:
            self.stderr.write(refusal)
        if options["check"] and found:
            raise CommandError(
                f"{_sagas(len(found))} should have moved more than {wanted.older_than} ago. Recover them "
                "with: manage.py recover_sagas",
                returncode=ExitCode.ATTENTION,
            )
        if refusals or summary.failed:
            raise CommandError(
                f"{_sagas(summary.failed)} failed, and {len(refusals)} could not be turned back.",
                returncode=ExitCode.PARTLY_FAILED,
            )


def _row(saga: Found) -> tuple[str, ...]:
    return (
        str(saga.id),
        saga.label,
        saga.status,
        saga.lost.value,
        "not told" if saga.overdue_by is None else f"overdue by {whole_seconds(saga.overdue_by)}",
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
