from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sagas.exceptions import SagaError
from sagas.management.commandline import ExitCode, actor, duration
from sagas.models import Saga
from sagas.operations.starting import start
from sagas.states import AT_WORK, SagaStatus

LOOK_EVERY = 0.2


class Command(BaseCommand):
    help = "Start a saga and print its id. Workers run it; with --wait, wait until it has ended."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("definition", help="Its name, such as orders.place_order.")
        parser.add_argument("--input", default="{}", help="A JSON object, or @FILE that holds one.")
        parser.add_argument("--key", help="The business key, where the definition makes none from the input.")
        parser.add_argument(
            "--idempotency-key", help="Starting again under the same one gives the same saga, not another."
        )
        parser.add_argument(
            "--wait",
            type=duration,
            metavar="SECONDS",
            help="Wait so long at most. Exit 0 if it completed, 3 if it was compensated or abandoned, 4 if "
            "it needs a person, 1 if it is still at work.",
        )

    def handle(
        self,
        *,
        definition: str,
        input: str,
        key: str | None,
        idempotency_key: str | None,
        wait: timedelta | None,
        **options: Any,
    ) -> None:
        try:
            saga = start(definition, _read(input), key=key, idempotency_key=idempotency_key, by=actor())
        except SagaError as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(str(saga.pk))
        if wait is not None:
            self._report(_wait_for(saga, wait), wait)

    def _report(self, saga: Saga, waited: timedelta) -> None:
        if saga.status == SagaStatus.COMPLETED:
            self.stderr.write(f"{saga} completed.")
        elif saga.status in AT_WORK:
            raise CommandError(
                f"{saga} is still {saga.status} after {waited}. Is a worker running? It goes on by itself; "
                f"look at it with: manage.py show_saga {saga.pk}"
            )
        elif saga.is_live:
            raise CommandError(
                f"{saga} is {saga.status} and needs a person: {saga.error or 'it was suspended.'}",
                returncode=ExitCode.ATTENTION,
            )
        else:
            raise CommandError(f"{saga} ended {saga.status}: {saga.error}", returncode=ExitCode.PARTLY_FAILED)


def _read(given: str) -> dict[str, Any]:
    text, source = given, "--input"
    if given.startswith("@"):
        source = given[1:]
        try:
            text = Path(source).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"--input names the file {source}, which cannot be read: {error}") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CommandError(f"{source} holds no JSON: {error}.") from error
    if not isinstance(value, dict):
        raise CommandError(
            f"{source} holds a JSON {type(value).__name__}. A saga's input is an object: {{…}}."
        )
    return value


def _wait_for(saga: Saga, most: timedelta) -> Saga:
    ends = time.monotonic() + most.total_seconds()
    while True:
        saga = Saga.objects.get(pk=saga.pk)
        if saga.status not in AT_WORK or time.monotonic() >= ends:
            return saga
        time.sleep(LOOK_EVERY)
