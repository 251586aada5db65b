from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet
from django.utils import timezone

from sagas.exceptions import LetterRefused
from sagas.management.commandline import (
    ExitCode,
    Interruption,
    actor,
    as_json,
    ask,
    positive,
    record,
    table,
)
from sagas.models import InboxMessage, InboxStatus
from sagas.operations.letters import requeue, resolve

TITLES = ("ID", "TOPIC", "KEY", "SUBSCRIBER", "TRIES", "ERROR", "PUBLISHED")
OPERATIONS = {"requeue": requeue, "resolve": resolve}
FILTERS = ("topic", "subscriber", "error_class")


class Command(BaseCommand):
    help = (
        "List the deliveries of events that were given up. With --requeue have them delivered again, with "
        "--resolve say that they need that no more: those named by id, or all that the filters find."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ids", nargs="*", type=positive, metavar="ID", help="Only these.")
        acts = parser.add_mutually_exclusive_group()
        for name in OPERATIONS:
            acts.add_argument(f"--{name}", action="store_const", const=name, dest="operation")
        parser.add_argument("--topic", help="Only events of this topic.")
        parser.add_argument("--subscriber", help="Only those to this subscriber.")
        parser.add_argument("--error-class", help="Only those that failed with this.")
        parser.add_argument("--reason", default="", help="Kept with each; --resolve needs one.")
        parser.add_argument("--limit", type=positive, help="At most so many, the oldest first.")
        parser.add_argument("--no-input", action="store_false", dest="interactive", help="Do not ask.")
        parser.add_argument("--json", action="store_true", dest="json", help="One JSON object a line.")

    def handle(self, *, operation: str | None, **options: Any) -> None:
        letters = _selected(**options)
        if operation is None:
            self._list(letters[: options["limit"] or 50], as_lines=options["json"])
        else:
            self._operate(operation, letters[: options["limit"]], **options)

    def _list(self, letters: QuerySet[InboxMessage], *, as_lines: bool) -> None:
        found = list(letters)
        if as_lines:
            for letter in found:
                self.stdout.write(as_json(record(letter)))
        elif found:
            self.stdout.write(table([TITLES, *map(_row, found)]))
        else:
            self.stderr.write("No dead letter is like that.")

    def _operate(
        self,
        operation: str,
        letters: QuerySet[InboxMessage],
        *,
        ids: list[int],
        reason: str,
        interactive: bool,
        json: bool,
        **options: Any,
    ) -> None:
        if not ids and not any(options[name] for name in FILTERS):
            raise CommandError("Nothing was selected: name ids, or a filter.")
        if operation == "resolve" and not reason.strip():
            raise CommandError("Say why they need no delivery any more: --reason.")
        chosen = list(letters.values_list("pk", flat=True))
        if missing := sorted(set(ids) - set(chosen)) if not options["limit"] else []:
            raise CommandError(f"There is no dead letter {', '.join(map(str, missing))} like that.")
        if len(chosen) > 1 and interactive:
            ask(self, f"{operation.capitalize()} {len(chosen)} dead letters?")
        done = refused = 0
        with Interruption() as interruption:
            for pk in chosen:
                if interruption.came:
                    break
                try:
                    OPERATIONS[operation](pk, by=actor(), reason=reason)
                    done += 1
                except LetterRefused as refusal:
                    self.stderr.write(str(refusal))
                    refused += 1
            if json:
                self.stdout.write(as_json({"selected": len(chosen), "done": done, "refused": refused}))
            else:
                noun = "dead letter" if done == 1 else "dead letters"
                self.stdout.write(f"{operation.capitalize()} was requested for {done} {noun}.")
        if refused:
            code = ExitCode.PARTLY_FAILED if done else 1
            raise CommandError(f"{operation} was refused for {refused} of them.", returncode=code)


def _selected(*, ids: list[int], **options: Any) -> QuerySet[InboxMessage]:
    letters = InboxMessage.objects.filter(status=InboxStatus.DEAD)
    if ids:
        letters = letters.filter(pk__in=ids)
    given = {name: options[name] for name in FILTERS if options[name] is not None}
    return letters.filter(**given).order_by("at", "pk")


def _row(letter: InboxMessage) -> tuple[str, ...]:
    return (
        str(letter.pk),
        letter.topic,
        letter.key,
        letter.subscriber,
        str(letter.tries),
        letter.error_class,
        timezone.localtime(letter.at).strftime("%Y-%m-%d %H:%M:%S"),
    )
