"""Faults, each of which returns the seconds until work went on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep

import psutil
from django.db import DatabaseError, InterfaceError, connections

from benchmarks.cluster import wait_until
from benchmarks.processes import group
from sagas import start
from sagas.models import HistoryKind, Saga, Worker
from tests.postgres import Server
from tests.workers import have_no_task, reader_among

WITHIN = 120.0

Cluster = Callable[[], psutil.Process]
"""Returns the first process of the cluster that is supervised now."""


@contextmanager
def supervised() -> Iterator[Cluster]:
    """Run a supervised cluster, which has shown that it works."""
    command = [sys.executable, "-m", "sagas.supervision.child", str(os.getpid()), "saga_cluster"]
    with group(command, stdout=sys.stderr.fileno(), grace=10) as process:
        complete_one()
        yield lambda: psutil.Process(process.pid).children()[0]
    connections.close_all()


def kill_busy_worker(cluster: Cluster, server: Server) -> float:
    """Kill the worker that has a saga in hand, in the middle of a step."""
    saga = start("benchmarks.io", {})
    wait_until(lambda: _holder(saga) is not None, within=WITHIN, what="a worker takes the saga")
    sleep(1.5)
    worker = _holder(saga)
    assert worker is not None
    psutil.Process(worker.pid).kill()
    killed = monotonic()
    wait_until(
        saga.history.filter(kind=HistoryKind.TAKE_OVER).exists, within=WITHIN, what="another takes over"
    )
    took = monotonic() - killed
    wait_until(_ended(saga), within=WITHIN, what="the saga ends")
    return took


def wedge(cluster: Cluster, server: Server) -> float:
    """Kill the worker that reads from the cluster's queue, with the queue's lock."""
    wait_until(lambda: not Worker.objects.exists(), within=WITHIN, what="the runners have ended")
    [sentinel] = cluster().children()
    wait_until(
        lambda: reader_among(sentinel.children()) is not None, within=WITHIN, what="a worker waits for tasks"
    )
    reader = reader_among(sentinel.children())
    assert reader is not None
    reader.kill()
    wait_until(lambda: have_no_task(sentinel.children()), within=WITHIN, what="nothing reads the queue")
    return complete_one()


def restart_postgresql(cluster: Cluster, server: Server) -> float:
    """Stop PostgreSQL and start it again."""
    server.stop()
    connections.close_all()
    server.start()
    return complete_one()


FAULTS: dict[str, Callable[[Cluster, Server], float]] = {
    "a busy worker is killed": kill_busy_worker,
    "the cluster is wedged": wedge,
    "PostgreSQL is restarted": restart_postgresql,
}


def complete_one() -> float:
    """Start a saga, return the seconds until it has ended."""
    began = monotonic()
    saga = start("benchmarks.async", {})
    wait_until(_ended(saga), within=WITHIN, what="the saga ends")
    return monotonic() - began


def _ended(saga: Saga) -> Callable[[], bool]:
    def has_ended() -> bool:
        try:
            return Saga.objects.filter(pk=saga.pk, status="completed").exists()
        except (DatabaseError, InterfaceError):
            connections.close_all()
            return False

    return has_ended


def _holder(saga: Saga) -> Worker | None:
    saga.refresh_from_db(fields=["held_by"])
    return Worker.objects.filter(pk=saga.held_by).first() if saga.held_by else None
