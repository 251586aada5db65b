"""Whom `run_due` leaves the work to: the runners of its cluster that are alive."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from subprocess import DEVNULL, PIPE, Popen

import pytest

from sagas import start
from sagas.clock import DatabaseTime
from sagas.engine.heartbeat import ALIVE_FOR
from sagas.models import Worker
from sagas.queue.tasks import run_due
from sagas.wake import queue_name
from tests.samples import step

pytestmark = pytest.mark.django_db(transaction=True)

FRESH = timedelta(seconds=1)
STALE = ALIVE_FOR + FRESH
GONE = 2**22 + 1
"""No process has this number: Linux gives none above 2 ** 22."""


@pytest.fixture
def neighbour() -> Iterator[int]:
    """The number of another process of this group."""
    with Popen(("cat",), stdin=PIPE, stdout=DEVNULL) as process:
        yield process.pid


def runner(pid: int, age: timedelta, **place: str | int) -> Worker:
    cluster = {"host": socket.gethostname(), "group": os.getpgrp(), "queue": queue_name()}
    return Worker.objects.create(pid=pid, slots=1, beat_at=DatabaseTime() - age, **cluster | place)


@pytest.mark.parametrize(
    ("pid", "age", "place", "left_to_it"),
    [
        pytest.param("neighbour", FRESH, {}, True, id="one that beats"),
        pytest.param("neighbour", STALE, {}, False, id="one that no longer beats"),
        pytest.param(GONE, FRESH, {}, False, id="one that was killed a moment ago"),
        pytest.param(GONE, STALE, {}, False, id="one that was killed a while ago"),
        pytest.param("neighbour", FRESH, {"host": "elsewhere"}, False, id="of another host"),
        pytest.param("neighbour", FRESH, {"group": GONE}, False, id="of another cluster"),
        pytest.param("neighbour", FRESH, {"queue": "other"}, False, id="of another queue"),
        pytest.param(os.getpid(), FRESH, {}, False, id="this process before"),
    ],
)
def test_it_runs_what_is_due_unless_another_does(define, settings, neighbour, pid, age, place, left_to_it):
    settings.SAGAS |= {"RUNNERS": 1}
    runner(neighbour if pid == "neighbour" else pid, age, **place)
    saga = start(define(step("book")), {})

    run_due()

    saga.refresh_from_db()
    assert saga.status == ("pending" if left_to_it else "completed")


def test_rows_of_this_cluster_are_deleted_when_they_no_longer_beat():
    dead, other = runner(GONE, STALE), runner(GONE, STALE, host="elsewhere")

    run_due()

    assert [row.pk for row in Worker.objects.filter(pk__in=(dead.pk, other.pk))] == [other.pk]
