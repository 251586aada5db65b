"""How long sagas take, from their start until they are completed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from django.db.models import F

from sagas.engine.queries import fetch
from sagas.models import Saga
from sagas.states import SagaStatus

SAMPLE = 5_000
"""Sagas that are looked at, those completed last: enough for a 95th percentile, however many there are."""


@dataclass(frozen=True)
class Duration:
    """How long the latest completed sagas of a definition took."""

    number: int
    p50: timedelta
    p95: timedelta


def durations() -> dict[str, Duration]:
    """Return by definition how long the sagas took that completed last. One statement."""
    # That it has ended says the status too, but not to whoever looks for an index.
    completed = Saga.objects.filter(status=SagaStatus.COMPLETED, ended_at__isnull=False)
    latest = completed.order_by("-ended_at")[:SAMPLE]
    taken = defaultdict(list)
    for definition, length in fetch(latest.values_list("definition", F("ended_at") - F("created_at"))):
        taken[definition].append(length)
    return {name: _told(sorted(lengths)) for name, lengths in taken.items()}


def _told(lengths: list[timedelta]) -> Duration:
    return Duration(len(lengths), quantile(lengths, 50), quantile(lengths, 95))


def quantile(lengths: list[timedelta], percent: int) -> timedelta:
    """Return the shortest length that so many percent do not exceed."""
    return lengths[ceil(len(lengths) * percent / 100) - 1]
