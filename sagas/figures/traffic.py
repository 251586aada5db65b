"""Who publishes what, who reacts to it, and how long that takes: learnt from the latest events."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models.fields.json import KeyTextTransform

from sagas.conf import saga_settings
from sagas.figures.speed import quantile
from sagas.messaging import SUBSCRIBER
from sagas.models import InboxMessage, InboxStatus, OutboxMessage

SAMPLE = 5_000
"""Events that are looked at, and deliveries: the latest, however many there are."""
CODE, UNDO = "code", "undo"
"""Publishers without a name: code that handles no event, and a person who has a case undone."""


@dataclass(frozen=True)
class Told:
    """What somebody published."""

    publisher: str
    """The subscriber, definition or outside source; `CODE` or `UNDO`."""
    topic: str
    number: int


@dataclass(frozen=True)
class Heard:
    """How the events of a topic fare with one subscriber."""

    topic: str
    subscriber: str
    done: int
    due: int
    dead: int
    p50: timedelta | None
    """From the publication until it was handled; None where none was."""
    p95: timedelta | None


@dataclass(frozen=True)
class Traffic:
    """What was seen."""

    told: tuple[Told, ...]
    heard: tuple[Heard, ...]
    since: datetime | None
    """When the first of the events was published that were looked at."""

    @property
    def topics(self) -> list[str]:
        """All topics, in the order of their names."""
        return sorted({told.topic for told in self.told} | {heard.topic for heard in self.heard})


def traffic() -> Traffic:
    """Read the latest events and deliveries: two statements."""
    told: Counter[tuple[str, str]] = Counter()
    since = None
    names = ("publisher", "source", "undoes")
    headers = {f"its_{name}": KeyTextTransform(name, "headers") for name in names}
    latest: Any = OutboxMessage.objects.annotate(**headers).order_by("-pk")
    for topic, at, *given in latest.values_list("topic", "at", *headers)[:SAMPLE]:
        told[_publisher(*given), topic] += 1
        since = at
    return Traffic(
        told=tuple(Told(*who, number) for who, number in sorted(told.items())),
        heard=tuple(_heard()),
        since=since,
    )


def _publisher(publisher: str | None, source: str | None, undoes: str | None) -> str:
    if publisher:
        return publisher
    if undoes:
        return UNDO
    return source if source and source != saga_settings().source else CODE


def _heard() -> Iterable[Heard]:
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    took: defaultdict[tuple[str, str], list[timedelta]] = defaultdict(list)
    names = ("topic", "subscriber", "status", "at", "ended_at")
    latest: Any = InboxMessage.objects.order_by("-pk").values_list(*names)
    for topic, subscriber, status, at, ended_at in latest[:SAMPLE]:
        if subscriber == SUBSCRIBER and status != InboxStatus.TAKEN:
            continue  # It is kept for whoever will wait for it.
        counts[topic, subscriber][status] += 1
        if status == InboxStatus.DONE and ended_at is not None:
            took[topic, subscriber].append(ended_at - at)
    for (topic, subscriber), count in sorted(counts.items()):
        lengths = sorted(took[topic, subscriber])
        yield Heard(
            topic,
            subscriber,
            done=count[InboxStatus.DONE] + count[InboxStatus.TAKEN] + count[InboxStatus.RESOLVED],
            due=count[InboxStatus.DUE] + count[InboxStatus.HELD],
            dead=count[InboxStatus.DEAD],
            p50=quantile(lengths, 50) if lengths else None,
            p95=quantile(lengths, 95) if lengths else None,
        )
