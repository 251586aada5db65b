"""What a supervisor does about what it sees, and says of it, with a cluster that is only made up."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError

from sagas import clock, start
from sagas.clock import DatabaseTime
from sagas.models import IdempotencyRecord, Saga, Worker
from sagas.supervision import supervisor as module
from sagas.supervision.supervisor import Supervisor
from tests.samples import step

pytestmark = pytest.mark.django_db

GONE = 2**22 + 1
"""No process has this number."""


class Cluster:
    """A session that runs nothing."""

    def __init__(self, number: int, stops: bool) -> None:
        self.id = number
        self.has_ended = self.was_killed = False
        self._stops = stops

    def stop(self, grace: timedelta) -> bool:
        return self._stops

    def kill(self) -> None:
        self.was_killed = True


class Stage:
    """A supervisor, the clusters it started, and the time it believes in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, notes: Any) -> None:
        self.clusters: list[Cluster] = []
        self.waited: list[timedelta] = []
        self.stops = True
        self._now = 0.0
        monkeypatch.setattr(module, "monotonic", lambda: self._now)
        monkeypatch.setattr(module, "notes_of", lambda queue: notes)
        monkeypatch.setattr(module, "Session", self._start)
        monkeypatch.setattr(module, "close_old_connections", lambda: None)  # This test's transaction is open.

    def _start(self, *command: str, **options: Any) -> Cluster:
        assert command == ("qcluster",)
        self.clusters.append(Cluster(len(self.clusters) + 1, self.stops))
        return self.clusters[-1]

    def keep(self, *looks: Callable[[], object], pass_by: timedelta = timedelta(seconds=20)) -> Supervisor:
        """Supervise, with something happening before each look."""
        supervisor = Supervisor(grace=timedelta(seconds=5))
        left = list(looks)

        def is_over() -> bool:
            if not left:
                return True
            self._now += pass_by.total_seconds()
            left.pop(0)()
            return False

        supervisor.keep(wait=self.waited.append, is_over=is_over)
        return supervisor


@pytest.fixture
def stage(monkeypatch, tmp_path, settings) -> Stage:
    settings.SAGAS = settings.SAGAS | {"QUEUE": "sagas"}
    return Stage(monkeypatch, tmp_path)


@pytest.fixture(autouse=True)
def told(caplog) -> Callable[[], Sequence[str]]:
    """What was logged, from WARNING on."""
    caplog.set_level(logging.INFO, "sagas.supervision")
    return lambda: [
        f"{record.levelname} {record.getMessage()}"
        for record in caplog.records
        if record.name == "sagas.supervision" and record.levelno >= logging.WARNING
    ]


def nothing() -> None:
    pass


def test_while_all_is_well_nothing_is_done(stage, told):
    supervisor = stage.keep(nothing, nothing)
    assert (supervisor.replaced, len(stage.clusters), told()) == (0, 1, [])


def test_one_that_ended_is_replaced_ever_more_slowly_if_it_ends_at_once(stage, told):
    def end() -> None:
        stage.clusters[-1].has_ended = True

    stage.keep(end, end, end, pass_by=timedelta(seconds=1))

    assert [cluster.was_killed for cluster in stage.clusters] == [True, True, True, False]
    pauses = [pause for pause in stage.waited if pause != module.LOOK]
    assert pauses == [timedelta(seconds=2), timedelta(seconds=4)]
    assert told()[0] == "ERROR Cluster 1 ended by itself; another is started."


def test_one_that_takes_nothing_of_what_is_due_is_killed_and_replaced(stage, told, define):
    start(define(step("book")), {})

    supervisor = stage.keep(nothing, nothing)

    assert supervisor.replaced == 1
    assert [cluster.was_killed for cluster in stage.clusters] == [True, False]
    assert told() == [
        "CRITICAL Cluster 1 has taken nothing of what is due for 0:00:15: it is killed and replaced."
    ]


def test_a_database_that_does_not_answer_is_said_once_and_kills_nobody(stage, told, monkeypatch):
    def answer(self: Supervisor) -> None:
        if not healed:
            raise OperationalError("no route to host")

    healed: list[int] = []
    monkeypatch.setattr(Supervisor, "_judge", answer)

    supervisor = stage.keep(nothing, nothing, lambda: healed.append(1), nothing)

    assert supervisor.replaced == 0
    assert told() == [
        "ERROR The database does not answer: no route to host. The cluster is left as it is.",
        "WARNING The database answers again.",
    ]


def test_one_that_does_not_stop_is_told_of_and_what_it_held_goes_on_at_once(stage, told, define):
    saga = start(define(step("book")), {})
    worker = Worker.objects.create(host=socket.gethostname(), pid=GONE, group=1, queue="sagas", slots=1)
    Saga.objects.filter(pk=saga.pk).update(
        status="running", held_by=worker.pk, due_at=DatabaseTime() + timedelta(minutes=5)
    )
    stage.stops = False

    stage.keep(nothing)

    assert told() == [
        "WARNING Cluster 1 did not end within 0:00:05 and was killed.",
        f"ERROR Runners [{GONE}] are dead and held 1 sagas and events; others go on.",
    ]
    assert Saga.objects.filter(due_at__lte=DatabaseTime()).exists()


def test_what_is_kept_for_a_while_only_is_purged_each_hour(stage):
    IdempotencyRecord.objects.create(scope="x", key=str(uuid4()), expires_at=DatabaseTime())
    clock.shift(timedelta(seconds=1))
    stage.keep(nothing)
    assert IdempotencyRecord.objects.exists()
    stage.keep(nothing, pass_by=timedelta(minutes=61))
    assert not IdempotencyRecord.objects.exists()
