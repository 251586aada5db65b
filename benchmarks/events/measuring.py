"""What is measured of events."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from statistics import quantiles
from time import monotonic, sleep, time

from django.db.models import F, Max

from benchmarks.cluster import cluster, wait_until
from benchmarks.databases import analyse
from sagas import Event, publish
from sagas.models import InboxMessage, InboxStatus

CHUNK = 500
WITHIN = 180.0
KEYS = 1000
TIMED = 300
RATE = 60


def backlog(topic: str, *, keyed: bool) -> Callable[[int], float]:
    """Return what measures events per second, from before the first is published until all are handled."""

    def measure(events: int) -> float:
        with cluster():
            _publish(topic, events // 10, keyed)
            _wait_until_handled()
            analyse()
            began = time()
            _publish(topic, events, keyed)
            _wait_until_handled()
            handled = InboxMessage.objects.filter(
                status=InboxStatus.DONE, at__gte=datetime.fromtimestamp(began, UTC)
            )
            last: datetime = handled.aggregate(at=Max("ended_at"))["at"]
            return handled.count() / (last.timestamp() - began)

    return measure


def latency(percentile: int) -> Callable[[int], float]:
    """Return what measures the milliseconds from publication until an event is handled, while some come."""

    def measure(events: int) -> float:
        draw = random.Random(1)
        with cluster():
            _publish("measured", 500, keyed=False)
            _wait_until_handled()
            analyse()
            began = datetime.now(UTC)
            due = monotonic()
            for _ in range(TIMED):
                due += draw.expovariate(RATE)
                sleep(max(0.0, due - monotonic()))
                publish(Event("measured"))
            _wait_until_handled()
            timed = InboxMessage.objects.filter(at__gte=began, status=InboxStatus.DONE)
            took = timed.annotate(took=F("ended_at") - F("at")).values_list("took", flat=True)
            milliseconds = [1000 * each.total_seconds() for each in took]
            return float(quantiles(milliseconds, n=100, method="inclusive")[percentile - 1])

    return measure


def _publish(topic: str, events: int, keyed: bool) -> None:
    for first in range(0, events, CHUNK):
        numbers: Iterable[int] = range(first, min(first + CHUNK, events))
        publish(*(Event(topic, {"n": n}, key=str(n % KEYS) if keyed else "") for n in numbers))


def _wait_until_handled() -> None:
    wait_until(
        lambda: not InboxMessage.objects.filter(status=InboxStatus.DUE).exists(),
        within=WITHIN,
        what="every event is handled",
        every=0.05,
    )


MEASURED: list[tuple[str, str, Callable[[int], float]]] = [
    ("handled, without order", "/s", backlog("measured", keyed=False)),
    ("handled, of 1 000 keys in order", "/s", backlog("measured", keyed=True)),
    ("handled, each leading to another", "/s", backlog("measured.first", keyed=False)),
    ("published until handled, p50", "ms", latency(50)),
    ("published until handled, p99", "ms", latency(99)),
]
