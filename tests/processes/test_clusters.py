"""Sagas in real django-q2 clusters, with workers that are killed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from orders.demo.processes import ManagedCommand
from sagas import start, start_many
from sagas.models import HistoryKind, Saga, SagaStep, Worker
from tests.processes.conftest import LEASE_SECONDS
from tests.world.ledger import Ledger
from tests.world.sagas import Patience, Trip

pytestmark = pytest.mark.processes

Clusters = Callable[[int], list[ManagedCommand]]
Eventually = Callable[..., float]


def all_ended() -> bool:
    return not Saga.objects.filter(ended_at=None).exists()


def test_a_saga_goes_on_when_the_worker_of_its_step_is_killed(
    world: Ledger, clusters: Clusters, eventually: Eventually
) -> None:
    clusters(1)
    saga = start(Trip, {"number": 1, "seconds": 20})
    eventually(lambda: bool(world.calls(what="hotel")), within=20, what="the hotel is called")
    [first] = world.calls(what="hotel")

    os.kill(first.pid, signal.SIGKILL)

    eventually(all_ended, within=LEASE_SECONDS + 5, what="the saga ends after its worker was killed")
    saga.refresh_from_db()
    assert saga.status == "completed"
    assert Counter(effect.partition(".")[0] for effect in world.effects()) == {
        "flight": 1,
        "hotel": 1,
        "car": 1,
    }
    again = world.calls(what="hotel")[1:]
    assert [call.key for call in again] == [first.key]
    assert all(call.pid != first.pid for call in again)
    hotel = SagaStep.objects.get(saga=saga, name="book_hotel")
    assert (hotel.attempts, hotel.crashes) == (2, 1)
    assert saga.history.filter(kind=HistoryKind.TAKE_OVER).count() == 1


def test_a_cluster_whose_workers_are_killed_one_after_the_other_goes_on(
    world: Ledger, clusters: Clusters, eventually: Eventually
) -> None:
    clusters(1)
    saga = start(Trip, {"number": 1, "seconds": 20, "waits": 3})
    for killed in range(3):
        eventually(lambda n=killed: len(world.calls(what="hotel")) > n, within=20, what="the hotel is called")
        os.kill(world.calls(what="hotel")[-1].pid, signal.SIGKILL)

    eventually(all_ended, within=LEASE_SECONDS + 5, what="the saga ends after its third worker was killed")
    saga.refresh_from_db()
    assert saga.status == "completed"
    assert Counter(effect.partition(".")[0] for effect in world.effects()) == {
        "flight": 1,
        "hotel": 1,
        "car": 1,
    }
    assert len({call.key for call in world.calls(what="hotel")}) == 1


def test_three_clusters_have_each_effect_once(
    world: Ledger, clusters: Clusters, eventually: Eventually
) -> None:
    clusters(3)

    start_many(Trip, [{"number": number} for number in range(300)])

    eventually(all_ended, within=60, what="300 sagas end")
    assert Saga.objects.filter(status="completed").count() == 300
    calls = world.calls()
    assert Counter(call.what for call in calls) == {"flight": 300, "hotel": 300, "car": 300}
    assert len({(call.what, call.saga, call.key) for call in calls}) == 900
    assert len(world.effects()) == 900


def test_a_plain_cluster_keeps_time(world: Ledger, clusters: Clusters, eventually: Eventually) -> None:
    clusters(1)
    saga = start(Patience, {"number": 1})
    eventually(lambda: bool(world.calls(what="ask 1")), within=20, what="the first attempt is made")

    took = eventually(all_ended, within=10, what="the second attempt is made")

    assert took > 2
    saga.refresh_from_db()
    assert saga.status == "completed"
    assert [call.what for call in world.calls()] == ["ask 1", "ask 2"]


def test_a_cluster_told_to_stop_finishes_what_it_began(
    world: Ledger, clusters: Clusters, eventually: Eventually
) -> None:
    [cluster] = clusters(1)
    start_many(Trip, [{"number": number, "seconds": 1} for number in range(40)])
    eventually(lambda: len(world.calls(what="hotel")) > 5, within=20, what="work is in full swing")

    cluster.__exit__(None, None, None)

    assert not Worker.objects.exists()
    assert not Saga.objects.exclude(held_by=None).exists()
    assert not SagaStep.objects.filter(status="running").exists()
    clusters(1)
    eventually(all_ended, within=40, what="the next cluster ends them")
    assert Counter(call.what for call in world.calls()) == {"flight": 40, "hotel": 40, "car": 40}
