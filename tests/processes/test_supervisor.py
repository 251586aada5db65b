"""Supervised clusters, and all that can become of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from pytest_django import Settings

from orders.demo.processes import ManagedCommand
from sagas import start, start_many
from sagas.clock import DatabaseTime
from sagas.models import HistoryKind, Saga, Worker
from sagas.supervision.session import end_orphans, notes_of
from sagas.wake import queue_name
from tests.processes.conftest import LEASE_SECONDS
from tests.processes.test_clusters import Eventually, all_ended
from tests.samples import postgresql_only
from tests.workers import have_no_task, reader_among
from tests.world.ledger import Ledger
from tests.world.sagas import Trip

pytestmark = pytest.mark.processes

Supervise = Callable[[], ManagedCommand]


@pytest.fixture
def supervise(world: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervise]:
    """Starts supervised clusters, which end with the test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("SAGAS_LEASE", "60")  # Nothing here may wait for the end of a lease.
    with ExitStack() as running:
        yield lambda: running.enter_context(ManagedCommand("saga_cluster", "--grace", "5s"))
    connections.close_all()


def cluster_of(supervisor: ManagedCommand) -> psutil.Process:
    """Return the first process of the cluster: the supervisor's child."""
    [main] = psutil.Process(supervisor.pid).children()
    return main


def is_replaced(supervisor: ManagedCommand, old: int) -> bool:
    """Return whether all of the cluster that ran as ``old`` is gone and another one runs."""
    children = psutil.Process(supervisor.pid).children()
    return bool(children) and old not in {child.pid for child in children} and members(old) == []


def members(session: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def test_a_dead_workers_sagas_go_on_at_once(
    world: Ledger, supervise: Supervise, eventually: Eventually
) -> None:
    supervise()
    saga = start(Trip, {"number": 1, "seconds": 20})
    eventually(lambda: bool(world.calls(what="hotel")), within=20, what="the hotel is called")
    eventually(lambda: Worker.objects.filter(busy__gt=0).exists(), within=10, what="the worker is seen")

    os.kill(world.calls(what="hotel")[0].pid, signal.SIGKILL)

    eventually(all_ended, within=10, what="others go on, long before the lease ends")
    assert saga.history.filter(kind=HistoryKind.TAKE_OVER).count() == 1
    assert len({call.key for call in world.calls(what="hotel")}) == 1


@pytest.mark.parametrize("whose", ["cluster", "sentinel"])
def test_a_cluster_that_lost_its_head_is_replaced(
    world: Ledger, supervise: Supervise, eventually: Eventually, whose: str
) -> None:
    supervisor = supervise()
    start(Trip, {"number": 1})
    eventually(all_ended, within=20, what="the first saga ends")
    main = cluster_of(supervisor)
    old = main.pid
    [sentinel] = main.children()

    (main if whose == "cluster" else sentinel).kill()

    start(Trip, {"number": 2})
    eventually(all_ended, within=20, what="the second saga ends")
    eventually(lambda: is_replaced(supervisor, old), within=20, what="another cluster runs")


@pytest.mark.skipif(not Path("/proc/self/wchan").exists(), reason="needs Linux to find the reading worker")
def test_a_wedged_cluster_is_replaced(world: Ledger, supervise: Supervise, eventually: Eventually) -> None:
    supervisor = supervise()
    start(Trip, {"number": 1})
    eventually(all_ended, within=20, what="the first saga ends")
    eventually(lambda: not Worker.objects.exists(), within=20, what="the runner has ended")
    old = cluster_of(supervisor).pid
    eventually(lambda: reader_among(members(old)) is not None, within=10, what="a worker waits for tasks")
    reader = reader_among(members(old))
    assert reader is not None

    reader.kill()

    # The other worker may still be at a task that came twice, and would take the saga.
    eventually(lambda: have_no_task(members(old)), within=20, what="nothing reads the queue")
    start(Trip, {"number": 2})
    eventually(all_ended, within=30, what="the second saga ends")
    eventually(lambda: is_replaced(supervisor, old), within=20, what="another cluster runs")


def test_once_means_until_nothing_is_due(world: Ledger, supervise: Supervise, eventually: Eventually) -> None:
    start_many(Trip, [{"number": number} for number in range(5)])
    with ManagedCommand("saga_cluster", "--once") as supervisor:
        eventually(lambda: supervisor.ended, within=30, what="it ends by itself")
    assert all_ended()


def test_it_refuses_to_run_a_queue_of_others(settings: Settings) -> None:
    settings.SAGAS = {key: value for key, value in settings.SAGAS.items() if key != "QUEUE"}
    with pytest.raises(CommandError, match="the project's own: other tasks would be killed"):
        call_command("saga_cluster")


def test_told_to_stop_it_ends_in_good_order(
    world: Ledger, supervise: Supervise, eventually: Eventually
) -> None:
    supervisor = supervise()
    start_many(Trip, [{"number": number, "seconds": 0.2} for number in range(20)])
    eventually(lambda: len(world.calls(what="hotel")) > 3, within=20, what="work is in full swing")
    session = cluster_of(supervisor).pid

    os.killpg(supervisor.pid, signal.SIGTERM)  # To all of its group, as systemd's default is.

    eventually(lambda: supervisor.ended, within=10, what="it ends")
    assert members(session) == []
    assert not Worker.objects.exists()
    assert not Saga.objects.exclude(held_by=None).exists()
    calls = world.calls()
    assert len({(call.what, call.saga, call.key) for call in calls}) == len(calls)


def test_a_cluster_that_will_not_stop_is_killed_and_its_sagas_are_given_back(
    world: Ledger, supervise: Supervise, eventually: Eventually
) -> None:
    supervisor = supervise()
    saga = start(Trip, {"number": 1, "seconds": 60})
    eventually(lambda: bool(world.calls(what="hotel")), within=20, what="the hotel is called")

    supervisor.__exit__(None, None, None)

    saga.refresh_from_db()
    assert saga.held_by is not None
    assert not Saga.objects.filter(due_at__gt=DatabaseTime()).exists()
    supervise()
    eventually(all_ended, within=20, what="the next cluster goes on at once")


def test_of_a_supervisor_that_is_killed_nothing_lives_on(
    world: Ledger, supervise: Supervise, eventually: Eventually
) -> None:
    supervisor = supervise()
    saga = start(Trip, {"number": 1, "seconds": 60})
    eventually(lambda: bool(world.calls(what="hotel")), within=20, what="the hotel is called")
    session = cluster_of(supervisor).pid

    psutil.Process(supervisor.pid).kill()

    eventually(lambda: members(session) == [], within=10, what="all of its cluster has ended")
    assert saga.history.count() >= 1


def test_what_lives_of_a_session_without_a_keeper_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagas.supervision.session.gettempdir", lambda: str(tmp_path))
    notes = notes_of(queue_name())
    left = subprocess.Popen(["sleep", "60"], start_new_session=True)
    kept = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        started = psutil.Process(left.pid).create_time()
        (notes / f"{left.pid}.json").write_text(json.dumps({"session": left.pid, "started": started}))
        # The number was given to somebody else since.
        (notes / f"{kept.pid}.json").write_text(json.dumps({"session": kept.pid, "started": started - 3600}))

        assert end_orphans(notes) == [left.pid]

        assert left.wait(5) == -signal.SIGKILL
        assert kept.poll() is None
        assert list(notes.iterdir()) == []
    finally:
        for process in (left, kept):
            process.kill()
            process.wait()


@postgresql_only  # In SQLite whoever stands still within a transaction has everybody stand still.
def test_two_supervisors_have_each_effect_once_though_one_stands_still(
    world: Ledger, supervise: Supervise, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGAS_LEASE", str(LEASE_SECONDS))
    first, _second = supervise(), supervise()
    start_many(Trip, [{"number": number, "seconds": 0.1} for number in range(60)])
    eventually(lambda: len(world.calls(what="hotel")) > 5, within=20, what="work is in full swing")
    stopped = [psutil.Process(first.pid), *members(cluster_of(first).pid)]
    for process in stopped:
        process.suspend()
    try:
        eventually(all_ended, within=60, what="the other host's cluster ends all")
    finally:
        for process in stopped:
            process.resume()
    assert Saga.objects.filter(status="completed").count() == 60
    effects = world.effects()
    assert len(effects) == 180 == len({tuple(effect.split(".")[:2]) for effect in effects})
