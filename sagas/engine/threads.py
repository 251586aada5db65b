"""Daemon threads for sync steps.

The standard executor joins its threads when the process ends, so that one step that hangs would keep the
process alive for ever. These are left behind.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread

from django.db import close_old_connections, connections

log = logging.getLogger("sagas.engine")


class Threads:
    """Runs callables in at most `limit` daemon threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = Lock()
        self._idle = 0
        self._started = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Run `job` in an idle thread, in a new one, or in the next that becomes idle."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._started < self.limit:
                self._started += 1
                Thread(target=self._work, name=f"saga-step-{self._started}", daemon=True).start()
        self._jobs.put(job)

    def close(self) -> None:
        """Let idle threads end now, and busy ones when their job does."""
        with self._lock:
            for _ in range(self._started):
                self._jobs.put(None)

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                close_old_connections()
                job()
                with self._lock:
                    self._idle += 1
        finally:
            connections.close_all()
