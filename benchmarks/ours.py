"""How many sagas our engine runs in a second, on a cluster that is up and warm."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from django.db.models import Max

from benchmarks.cluster import cluster, wait_until
from benchmarks.databases import analyse
from benchmarks.memory import WorkersMemory
from sagas import start_many
from sagas.models import Saga

CHUNK = 500
WITHIN = 180


def throughput(definition: str, *, sagas: int, warm_up: int) -> dict[str, float]:
    """Measure sagas per second, from before the first start until the last has ended."""
    with cluster():
        run(definition, warm_up)
        analyse()
        return {"sagas_per_s": sagas / run(definition, sagas)}


def waiting(definition: str, *, sagas: int, warm_up: int) -> dict[str, float]:
    """Measure in how many seconds sagas are done that do nothing but wait, and the memory it takes."""
    with cluster(), WorkersMemory() as memory:
        run(definition, warm_up)
        analyse()
        seconds = run(definition, sagas)
    return {"seconds": seconds, "worker_rss_mb": memory.peak_mb}


def run(definition: str, sagas: int) -> float:
    """Start so many sagas, chunk by chunk, and return in how many seconds all of them completed."""
    began = time.time()
    since = datetime.fromtimestamp(began, UTC)
    for first in range(0, sagas, CHUNK):
        start_many(definition, [{}] * min(CHUNK, sagas - first))
    wait_until(has_nothing_to_do, within=WITHIN, what=f"{sagas} sagas of {definition} end")
    completed = Saga.objects.filter(created_at__gte=since, definition=definition, status="completed")
    if completed.count() != sagas:
        raise RuntimeError(f"Of {sagas} sagas of {definition} only {completed.count()} completed.")
    last: datetime = completed.aggregate(at=Max("ended_at"))["at"]
    return last.timestamp() - began


def has_nothing_to_do() -> bool:
    """Whether no saga is due, now or later; by the index that the engine itself goes by."""
    return not Saga.objects.filter(due_at__isnull=False).exists()
