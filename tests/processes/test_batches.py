"""Batches in real clusters that are killed in the middle of them."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from orders.demo.processes import ManagedCommand
from sagas import start_many
from sagas.models import HistoryEntry, HistoryKind, Saga, SagaBatch
from sagas.operations import batches, chunks
from sagas.operations.drafting import draft
from sagas.operations.performing import perform
from sagas.operations.selection import Selection
from tests.processes.conftest import LEASE_SECONDS
from tests.world.ledger import Ledger
from tests.world.sagas import Trip

pytestmark = pytest.mark.processes

Clusters = Callable[[int], list[ManagedCommand]]
Eventually = Callable[..., float]

NUMBER = 80
KILLS = 4


def test_a_batch_whose_workers_are_killed_again_and_again_asks_each_saga_once(
    world: Ledger, clusters: Clusters, eventually: Eventually
) -> None:
    sagas = start_many(Trip, [{"number": number} for number in range(NUMBER)])
    for saga in sagas:
        perform(saga.pk, "suspend", by=None)
    refused = sagas[NUMBER // 2]
    Saga.objects.filter(pk=refused.pk).update(definition="world.unknown")
    batch = draft("retry", Selection(filter={"status": "suspended"}), by=None)
    assert (batch.total, batch.skipped) == (NUMBER, NUMBER), "suspended sagas are resumed, not retried"
    batch = batches.start(
        draft("compensate", Selection(filter={"status": "suspended"}), by="command:test", rate=50).pk,
        by="command:test",
    )

    def now() -> SagaBatch:
        return SagaBatch.objects.get(pk=batch.pk)

    for killed in range(1, KILLS + 1):
        [cluster] = clusters(1)
        eventually(lambda n=killed: sweep() or now().left < NUMBER - 10 * n, within=30, what="it goes on")
        os.killpg(cluster.pid, signal.SIGKILL)
        assert now().left, "it was killed in the middle"
    clusters(1)
    eventually(lambda: sweep() or now().status == "done", within=LEASE_SECONDS + 30, what="it is done")

    done = now()
    assert (done.requested, done.skipped, done.refused, done.total) == (NUMBER - 1, 0, 1, NUMBER)
    states = Counter(done.items.values_list("state", flat=True))
    assert states == {"requested": NUMBER - 1, "refused": 1}
    acts = HistoryEntry.objects.filter(operation="compensate")
    asked = Counter(acts.filter(kind=HistoryKind.ACT).values_list("saga_id", flat=True))
    assert set(asked) == {saga.pk for saga in sagas} - {refused.pk}
    assert set(asked.values()) == {1}
    assert acts.filter(kind=HistoryKind.REFUSAL).count() == 1


def sweep() -> bool:
    """Look for what nobody is at, as a supervisor does."""
    chunks.recover()
    return False
