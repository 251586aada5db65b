from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sagas.clock import database_now
from sagas.exceptions import SagaError
from sagas.management.commandline import (
    ExitCode,
    Interruption,
    actor,
    as_json,
    ask,
    duration,
    positive,
    printable,
    saga_id,
)
from sagas.management.operating import Chosen, Report, choose, operate, wait_for
from sagas.models import Saga
from sagas.operations.catalogue import OPERATIONS, Operation
from sagas.operations.previewing import Preview, preview
from sagas.operations.selection import ANY, Selection
from sagas.operations.steps import OUTCOMES
from sagas.states import AT_WORK, Attention, Direction, SagaStatus

LOOK_EVERY = timedelta(seconds=0.5)
MOST_SHOWN = 20


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ArgumentTypeError(f"{text!r} is no JSON object: {{…}}.")
    return value


class Command(BaseCommand):
    help = (
        "Ask an operation of sagas: of those whose ids are given, or of those that the filters find. Each "
        "act and each refusal is kept in the saga's history. What has changed since it was chosen is left "
        "alone."
    )
    operation: str | None = None
    """What commands ask that are named after an operation."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        if self.operation is None:
            parser.add_argument("operation", choices=sorted(OPERATIONS), metavar="OPERATION", help="What.")
            parser.add_argument("--step", help="Of which step, where the operation is one on a step.")
            parser.add_argument("--outcome", choices=OUTCOMES, help="For resolve: what came of the step.")
            parser.add_argument("--result", type=json_object, metavar="JSON", help="For resolve: its result.")
            parser.add_argument("--input", type=json_object, metavar="JSON", help="For edit and restart.")
        parser.add_argument("ids", nargs="*", type=saga_id, metavar="ID", help="The sagas.")
        parser.add_argument("--definition", help="Those of this definition.")
        parser.add_argument("--status", action="append", choices=SagaStatus.values, help="May be repeated.")
        parser.add_argument("--attention", choices=[ANY, *Attention.values], help="Those that need a person.")
        parser.add_argument("--error-class", help="Those whose last error was of this class.")
        parser.add_argument("--error-group", metavar="FINGERPRINT", help="Those that failed alike.")
        parser.add_argument("--since", type=duration, help="Those started so long ago or later: 2h.")
        parser.add_argument("--before", type=duration, help="Those started longer ago than this.")
        parser.add_argument("--limit", type=positive, help="At most so many, the oldest first.")
        parser.add_argument("--reason", default="", help="Why; the history keeps it.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done, and do nothing.")
        parser.add_argument(
            "--wait",
            type=duration,
            metavar="DURATION",
            help="Wait so long at most until workers are done with them. Exit 4 if some need a person then.",
        )
        parser.add_argument(
            "--no-input", action="store_false", dest="interactive", help="Do not ask before several."
        )
        parser.add_argument("--json", action="store_true", dest="json", help="Print one JSON object.")

    def handle(
        self,
        *,
        ids: list[Any],
        limit: int | None,
        reason: str,
        dry_run: bool,
        wait: timedelta | None,
        interactive: bool,
        json: bool,
        **options: Any,
    ) -> None:
        operation = OPERATIONS[self.operation or options["operation"]]
        arguments = {
            name: options[name]
            for name in ("step", "outcome", "result", "input")
            if options.get(name) is not None
        }
        try:
            selection = Selection(tuple(ids), _filters(**options))
        except SagaError as refusal:
            raise CommandError(str(refusal)) from refusal
        chosen, missing = choose(operation, selection, limit)
        if dry_run:
            self._show(operation, chosen, reason, arguments)
            return
        if interactive and len(chosen) > 1:
            ask(self, f"{operation.label} {_sagas(len(chosen))}?")
        with Interruption() as interruption:
            report = operate(
                operation,
                chosen,
                by=actor(),
                reason=reason,
                arguments=arguments,
                is_stopping=lambda: interruption.came,
            )
            report.refusals |= {str(pk): f"There is no saga {pk}." for pk in missing}
            if wait is not None and not interruption.came:

                def look_again() -> bool:
                    interruption.wait(LOOK_EVERY)
                    return not interruption.came

                asked = [saga for saga in chosen if str(saga.id) not in report.refusals]
                report.statuses = wait_for(asked, wait, wait=look_again)
            self._tell(operation, report, json)

    def _show(
        self, operation: Operation, chosen: list[Chosen], reason: str, arguments: dict[str, Any]
    ) -> None:
        for saga in chosen[:MOST_SHOWN]:
            plan = preview(saga.id, operation.name, by=actor(), reason=reason, **arguments)
            self.stdout.write(f"{saga.id}  {saga.status}  {printable('; '.join(_told(plan)))}")
        if len(chosen) > MOST_SHOWN:
            self.stdout.write(f"… and {len(chosen) - MOST_SHOWN} more.")
        self.stderr.write(f"{operation.label} would be asked of {_sagas(len(chosen))}. Nothing was done.")

    def _tell(self, operation: Operation, report: Report, json: bool) -> None:
        for why in report.refusals.values():
            self.stderr.write(why)
        if json:
            self.stdout.write(as_json(asdict(report)))
        else:
            self.stdout.write(f"{operation.label} was requested for {_sagas(report.requested)}.")
            if report.statuses:
                told = ", ".join(f"{number} {status}" for status, number in sorted(report.statuses.items()))
                self.stdout.write(f"They stand so: {told}.")
        if report.refusals:
            raise CommandError(
                f"{operation.label} was refused for {_sagas(len(report.refusals))}.",
                returncode=ExitCode.PARTLY_FAILED,
            )
        if failed := report.statuses.get(SagaStatus.FAILED, 0):
            raise CommandError(
                f"{_sagas(failed)} failed. Somebody has to look: manage.py list_sagas --failed",
                returncode=ExitCode.ATTENTION,
            )
        if at_work := sum(report.statuses.get(status, 0) for status in AT_WORK):
            raise CommandError(
                f"Not waited for any longer: {_sagas(at_work)} at work. They go on by themselves."
            )


def _filters(
    *,
    definition: str | None,
    status: list[str] | None,
    attention: str | None,
    error_class: str | None,
    error_group: str | None,
    since: timedelta | None,
    before: timedelta | None,
    **options: Any,
) -> dict[str, Any]:
    now = database_now(Saga.objects.db)
    wanted = {
        "definition": definition,
        "status__in": status,
        "attention": attention,
        "error_class": error_class,
        "error_fingerprint": error_group,
        "created_at__gt": None if since is None else now - since,
        "created_at__lt": None if before is None else now - before,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _told(plan: Preview) -> Iterable[str]:
    """Yield what a preview says, in short."""
    if plan.refusal is not None:
        yield f"refused: {plan.refusal.why}"
        return
    yield f"would be {plan.status}"
    if plan.calls:
        names = (("undo " if call.direction == Direction.BACK else "") + call.step for call in plan.calls)
        yield f"then {', '.join(names)}"
    yield from (f"cannot undo {left.step}: {left.why}" for left in plan.cannot_undo)
    yield from plan.warnings


def _sagas(number: int) -> str:
    return f"{number} saga" if number == 1 else f"{number} sagas"
