from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet
from django.utils import timezone

from sagas.clock import DatabaseTime
from sagas.engine.recovery import overdue
from sagas.management.commandline import as_json, duration, positive, record, table
from sagas.models import Saga
from sagas.operations.catalogue import STUCK_AFTER
from sagas.states import Attention, SagaStatus

TITLES = ("ID", "DEFINITION", "KEY", "STATUS", "STEPS", "STEP", "ATTENTION", "ERROR", "CREATED")
ANY = "any"


class Command(BaseCommand):
    help = "List sagas, the newest first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--status", action="append", choices=SagaStatus.values, help="May be repeated.")
        parser.add_argument("--failed", action="store_true", help="Only those that failed.")
        parser.add_argument("--definition", help="Only those of this definition.")
        parser.add_argument("--key", help="Only those with this business key.")
        parser.add_argument(
            "--attention",
            nargs="?",
            const=ANY,
            choices=[ANY, *Attention.values],
            help="Only those that need a person, for this reason or for any.",
        )
        parser.add_argument("--stuck", action="store_true", help="Only those that are due and nobody moves.")
        parser.add_argument("--since", type=duration, help="Only those created so long ago or later: 2h.")
        parser.add_argument(
            "--limit", type=positive, default=50, help="List at most so many (default: %(default)s)."
        )
        parser.add_argument("--json", action="store_true", dest="json", help="One JSON object a line.")

    def handle(self, *, limit: int, json: bool, **options: Any) -> None:
        sagas = list(_selected(**options).defer("input").order_by("-created_at", "-id")[:limit])
        if json:
            for saga in sagas:
                self.stdout.write(as_json(record(saga, without=["input"])))
        elif sagas:
            self.stdout.write(table([TITLES, *map(_row, sagas)]))
            if len(sagas) == limit:
                self.stderr.write(f"There may be more than these {limit}. List more with --limit.")
        else:
            self.stderr.write("No saga is like that.")


def _selected(
    *,
    status: list[str] | None,
    failed: bool,
    definition: str | None,
    key: str | None,
    attention: str | None,
    stuck: bool,
    since: timedelta | None,
    **options: Any,
) -> QuerySet[Saga]:
    if failed and status:
        raise CommandError("--failed is short for --status failed. Give one of them.")
    sagas = overdue(STUCK_AFTER) if stuck else Saga.objects.all()
    if status or failed:
        sagas = sagas.filter(status__in=status or [SagaStatus.FAILED])
    if definition is not None:
        sagas = sagas.filter(definition=definition)
    if key is not None:
        sagas = sagas.filter(key=key)
    if attention == ANY:
        sagas = sagas.exclude(attention="")
    elif attention is not None:
        sagas = sagas.filter(attention=attention)
    if since is not None:
        sagas = sagas.filter(created_at__gte=DatabaseTime() - since)
    return sagas


def _row(saga: Saga) -> tuple[str, ...]:
    return (
        str(saga.pk),
        saga.definition,
        saga.key or "",
        saga.status,
        f"{saga.steps_done}/{saga.steps_total}",
        saga.current_step,
        saga.attention,
        saga.error_class,
        timezone.localtime(saga.created_at).strftime("%Y-%m-%d %H:%M:%S"),
    )
