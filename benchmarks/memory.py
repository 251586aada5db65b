"""How much memory the workers of a cluster take, as Linux tells it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

from django.db import connections

from sagas.models import Worker

EVERY = 0.5


def resident_mb(pid: int, *, peak: bool) -> float:
    """Return the resident memory of a process, now or at its highest; 0 where that cannot be known."""
    field = "VmHWM:" if peak else "VmRSS:"
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return 0.0


class WorkersMemory:
    """Notes who runs sagas while the ``with`` block lasts, and what they take."""

    def __init__(self) -> None:
        self._peaks: dict[int, float] = {}
        self._done = Event()

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    @property
    def peak_mb(self) -> float:
        """The most that one worker took."""
        return max(self._peaks.values(), default=0.0)

    @property
    def now_mb(self) -> float:
        """What the biggest of them takes."""
        return max((resident_mb(pid, peak=False) for pid in self._peaks), default=0.0)

    def _watch(self) -> None:
        try:
            while not self._done.wait(EVERY):
                for pid in {*Worker.objects.values_list("pid", flat=True), *self._peaks}:
                    self._peaks[pid] = max(self._peaks.get(pid, 0.0), resident_mb(pid, peak=True))
        finally:
            connections.close_all()
