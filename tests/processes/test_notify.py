"""Clusters that PostgreSQL wakes, when it does not, and when it is gone for a while."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection
from django_q.brokers.orm import ORM

from orders.demo.processes import ManagedCommand
from sagas import start, start_many
from sagas.models import Saga, Worker
from sagas.queue import broker
from tests.postgres import Server
from tests.processes.conftest import LEASE_SECONDS
from tests.samples import postgresql_only
from tests.world.ledger import Ledger
from tests.world.sagas import Trip

pytestmark = [pytest.mark.processes, postgresql_only]

Clusters = Callable[[int], list[ManagedCommand]]
Eventually = Callable[..., float]


def all_ended() -> bool:
    return not Saga.objects.filter(ended_at=None).exists()


def listening() -> list[int]:
    """Return the server's processes that listen."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE query = %s AND datname = current_database()",
            [f"LISTEN {broker.CHANNEL}"],
        )
        return [pid for (pid,) in cursor.fetchall()]


def descendants(pid: int) -> set[int]:
    """Return the processes that a process has started, and those that they have."""
    try:
        children = {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except FileNotFoundError:
        return set()
    return children.union(*map(descendants, children))


def test_one_connection_of_each_cluster_listens(
    world: Ledger, clusters: Clusters, eventually: Eventually
) -> None:
    clusters(2)
    eventually(lambda: len(listening()) == 2, within=20, what="both clusters listen")
    first = set(listening())

    start_many(Trip, [{"number": number} for number in range(20)])
    eventually(all_ended, within=20, what="20 sagas end")

    assert set(listening()) == first


def test_a_saga_nobody_was_told_of_is_found_all_the_same(
    world: Ledger, clusters: Clusters, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters(1)
    eventually(lambda: bool(listening()), within=20, what="the cluster listens")
    monkeypatch.setattr(broker.NotifyBroker, "enqueue", ORM.enqueue)  # Which tells nobody.

    start(Trip, {"number": 1})

    eventually(all_ended, within=10, what="the saga ends")


def test_a_cluster_outlives_a_restart_of_the_database(
    own_server: Server, world_of_own_server: Ledger, eventually: Eventually
) -> None:
    with ManagedCommand("qcluster") as cluster:
        eventually(lambda: bool(listening()), within=20, what="the cluster listens")
        processes = descendants(cluster.pid)
        assert len(processes) >= 5
        start_many(Trip, [{"number": number, "seconds": 1} for number in range(10)])
        eventually(lambda: len(world_of_own_server.calls(what="hotel")) > 3, within=20, what="work begins")

        own_server.stop()
        time.sleep(2)  # Long enough for every process to miss it.
        own_server.start()

        connection.close()
        eventually(all_ended, within=LEASE_SECONDS + 17, what="the sagas end")
        eventually(lambda: len(listening()) == 1, within=20, what="the cluster listens again")
        eventually(lambda: not Worker.objects.exists(), within=20, what="the runners have ended")
        start(Trip, {"number": 100})
        eventually(all_ended, within=20, what="one more saga ends")
        assert descendants(cluster.pid) == processes
    assert set(Saga.objects.values_list("status", flat=True)) == {"completed"}
    effects = Counter(effect.partition(".")[0] for effect in world_of_own_server.effects())
    assert effects == {"flight": 11, "hotel": 11, "car": 11}
