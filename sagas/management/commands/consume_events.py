from __future__ import annotations

from argparse import ArgumentParser
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sagas.choreography.transports import consume, transport_named
from sagas.management.commandline import Interruption, duration


class Command(BaseCommand):
    help = "Publish here what a message broker outside brings, until SIGINT or SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("transport", help="One of SAGAS['TRANSPORTS'], by its name.")
        parser.add_argument("--for", type=duration, dest="length", metavar="TIME", help="Stop after this.")

    def handle(self, *, transport: str, length: Any, **options: Any) -> None:
        try:
            wanted = transport_named(transport)
        except LookupError as error:
            raise CommandError(str(error)) from error
        if not wanted.queue or not wanted.receives:
            raise CommandError(
                f"{wanted!r} receives nothing: name its queue, and the topics that it is bound to."
            )
        ends = None if length is None else monotonic() + length.total_seconds()
        with Interruption() as interruption:
            number = consume(
                wanted, until=lambda: interruption.came or (ends is not None and monotonic() >= ends)
            )
        what = "event" if number == 1 else "events"
        self.stdout.write(f"{number} {what} arrived.")
