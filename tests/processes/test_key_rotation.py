"""SECRET_KEY is changed while django-q2's queue is full: it loses wake-ups, and no saga."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import psutil
import pytest
from django.conf import settings
from django.db import connections
from django_q.models import OrmQ

from orders.demo.processes import ManagedCommand
from sagas import start, start_many
from sagas.models import Saga
from tests.processes.test_clusters import Eventually, all_ended
from tests.world.ledger import Ledger
from tests.world.sagas import Patience, Trip

pytestmark = pytest.mark.processes

NEW_KEY = "a new key, that nothing in the queue was signed with"


@pytest.fixture(params=[True, False], ids=["with the old key as fallback", "without it"])
def rotated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has the commands that are started from then on sign with another key than this process does."""

    def rotate() -> None:
        monkeypatch.setenv("SECRET_KEY", NEW_KEY)
        if request.param:
            monkeypatch.setenv("SECRET_KEY_FALLBACKS", settings.SECRET_KEY)

    return rotate


def processes(command: ManagedCommand) -> set[int]:
    return {process.pid for process in psutil.Process(command.pid).children(recursive=True)}


def queue_up(world: Ledger, eventually: Eventually) -> None:
    """Leave sagas in the middle of their work, others not begun, and messages to workers that are gone."""
    with ManagedCommand("qcluster"):
        start(Patience, {"number": 1})  # It waits for a message that is a timer.
        start_many(Trip, [{"number": number, "seconds": 0.5} for number in range(20)])
        eventually(lambda: len(world.calls(what="hotel")) > 5, within=20, what="work is in full swing")
    start_many(Trip, [{"number": number} for number in range(20, 40)])
    assert OrmQ.objects.exists()


def all_is_done_once(world: Ledger) -> None:
    assert set(Saga.objects.values_list("status", flat=True)) == {"completed"}
    calls = Counter(call.what for call in world.calls())
    assert calls == {"flight": 41, "hotel": 41, "car": 41, "ask 1": 1, "ask 2": 1}


def test_supervised_workers_find_what_nobody_could_tell_them(
    world: Ledger, eventually: Eventually, rotated: Callable[[], None]
) -> None:
    queue_up(world, eventually)

    rotated()
    with ManagedCommand("saga_cluster", "--grace", "5s") as supervisor:
        eventually(all_ended, within=60, what="what the old key had announced ends")
        first = processes(supervisor)
        start(Trip, {"number": 40})  # By a web process that still has the old key.
        eventually(all_ended, within=60, what="what it announces ends, too")
        assert processes(supervisor) == first, "no process of the cluster was replaced"
    connections.close_all()
    all_is_done_once(world)


def test_without_a_supervisor_a_command_does(
    world: Ledger, eventually: Eventually, rotated: Callable[[], None]
) -> None:
    queue_up(world, eventually)

    rotated()
    with ManagedCommand("qcluster") as cluster:
        eventually(lambda: not OrmQ.objects.exists(), within=60, what="what cannot be read is deleted")
        first = processes(cluster)
        start(Trip, {"number": 40})
        with ManagedCommand("recover_sagas") as command:
            eventually(lambda: command.ended, within=30, what="somebody asks the workers to look")
        eventually(all_ended, within=60, what="all ends")
        assert processes(cluster) == first, "no process of the cluster was replaced"
    connections.close_all()
    all_is_done_once(world)
