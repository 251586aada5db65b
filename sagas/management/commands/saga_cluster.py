"""Runs a cluster of workers, and sees to it that it works."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sagas.conf import saga_settings
from sagas.management.commandline import Interruption, duration
from sagas.supervision.supervisor import Supervisor
from sagas.wake import queue_name


class Command(BaseCommand):
    help = (
        "Runs django-q2's qcluster and looks after it: asks it to look when sagas are due, has others go on "
        "at once with what a dead worker held, and replaces it when it is gone or takes nothing any more. "
        "One for each host; SIGTERM ends it when the steps at work are done."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--grace",
            type=duration,
            default=timedelta(seconds=30),
            metavar="DURATION",
            help="How long the workers have to finish when it is told to end (default: 30s).",
        )
        parser.add_argument(
            "--once", action="store_true", help="End as soon as no saga is due and none is held."
        )

    def handle(self, *, grace: timedelta, once: bool, **options: Any) -> None:
        if saga_settings().queue is None:
            raise CommandError(
                "saga_cluster kills its workers when sagas do not move, and the queue "
                f"{queue_name()!r} is the project's own: other tasks would be killed with them. "
                "Give sagas a queue, as in SAGAS = {'QUEUE': 'sagas'}, and start qcluster for the other."
            )
        supervisor = Supervisor(grace=grace)
        with Interruption() as interruption:
            supervisor.keep(
                wait=interruption.wait,
                is_over=lambda: interruption.came or (once and supervisor.is_idle),
            )
