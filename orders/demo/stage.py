"""Who is on stage in a demonstration: the workers, and a web server for those who watch."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import timedelta
from types import TracebackType
from typing import Self

from orders.demo import web
from orders.demo.processes import ManagedCommand

LOOK_EVERY = timedelta(milliseconds=500)

# A short lease, so that a crash is mended while one watches; no tracebacks of failures that were asked for.
WORKERS = {"SAGAS_LEASE": "3", "LOG_LEVEL": "ERROR"}
STOP = "8s"
"""Less than a process of the stage has to end."""


class EndedByItself(Exception):
    """A process that should have stayed ended."""


class Stage:
    """The processes of a demonstration. All of them are gone when the ``with`` block ends."""

    def __init__(self) -> None:
        self._processes: list[ManagedCommand] = []
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exits.close()

    def start_workers(self) -> None:
        """Start a supervised django-q2 cluster, as production runs it."""
        self._start(ManagedCommand("saga_cluster", "--grace", STOP, defaults=WORKERS))

    def start_web_server(self, port: int) -> None:
        """Start the web server and wait until it answers."""
        self._start(ManagedCommand("runserver", "--noreload", f"{web.HOST}:{port}"))
        web.wait_until_open(port, look_up=self.look_up)

    def look_up(self) -> None:
        """Raise `EndedByItself` if one of them has."""
        for process in self._processes:
            if process.ended:
                raise EndedByItself(f"{process.name} ended by itself. Its last words are above.")

    def stay(self) -> None:
        """Go on until something is raised: Ctrl-C, or the end of a process."""
        while True:
            self.look_up()
            time.sleep(LOOK_EVERY.total_seconds())

    def _start(self, process: ManagedCommand) -> None:
        self._processes.append(self._exits.enter_context(process))
