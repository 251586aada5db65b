"""The same work without an engine: one plain django-q2 task per step, which starts the next."""

from __future__ import annotations

import time
from datetime import datetime

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django_q.tasks import async_task

from benchmarks.cluster import cluster, wait_until
from benchmarks.databases import analyse
from benchmarks.models import Chain
from benchmarks.ours import CHUNK, WITHIN
from benchmarks.sagas import STEPS

OPTIONS = {"save": False}
"""Results are kept in the chain's row, and need not be kept twice."""


def throughput(*, sagas: int, warm_up: int) -> dict[str, float]:
    """Measure chains per second, from before the first start until the last has ended."""
    with cluster():
        run(warm_up)
        analyse()
        return {"sagas_per_s": sagas / run(sagas)}


def run(chains: int) -> float:
    """Start so many chains, and return in how many seconds all of them ended."""
    began = time.time()
    for first in range(0, chains, CHUNK):
        with transaction.atomic():
            for chain in Chain.objects.bulk_create(Chain() for _ in range(min(CHUNK, chains - first))):
                async_task(perform, chain.pk, 0, q_options=OPTIONS)
    wait_until(_have_all_ended, within=WITHIN, what=f"{chains} chains end", every=0.05)
    last: datetime = Chain.objects.aggregate(at=Max("ended_at"))["at"]
    return last.timestamp() - began


def perform(chain_id: int, step: int) -> None:
    """Carry out one step, record it, and have the next one carried out: all of it or nothing."""
    with transaction.atomic():
        chain = Chain.objects.select_for_update().get(pk=chain_id)
        chain.results[f"step_{step}"] = {"x": 1}
        if step + 1 < STEPS:
            async_task(perform, chain_id, step + 1, q_options=OPTIONS)
        else:
            chain.ended_at = timezone.now()
        chain.save()


def _have_all_ended() -> bool:
    return not Chain.objects.filter(ended_at=None).exists()
