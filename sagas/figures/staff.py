"""Who is at work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sagas.engine.heartbeat import ALIVE_FOR
from sagas.models import Worker

MOST_WORKERS = 100


@dataclass(frozen=True)
class WorkerFigures:
    """A runner, and how it said it was at its last beat."""

    host: str
    pid: int
    queue: str
    started_at: datetime
    beat_at: datetime
    busy: int
    """Sagas in its hand."""
    slots: int
    is_alive: bool


def workers(now: datetime) -> tuple[WorkerFigures, ...]:
    """Return the runners, those that beat last first."""
    names = ("host", "pid", "queue", "started_at", "beat_at", "busy", "slots")
    rows = Worker.objects.order_by("-beat_at").values(*names)[:MOST_WORKERS]
    return tuple(WorkerFigures(**row, is_alive=now - row["beat_at"] <= ALIVE_FOR) for row in rows)
