"""`saga_health` and `list_workers`: what monitors ask."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest

from sagas import clock
from sagas.models import InboxMessage, Worker
from tests.doors.test_commands import refused, run

pytestmark = pytest.mark.django_db


def worker(pid: int) -> Worker:
    return Worker.objects.create(host="shop-1", pid=pid, group=1, queue="sagas", slots=16, busy=3)


def test_all_is_well(sagas):
    worker(7)
    sagas.completed()
    figures = {"stuck": 0, "attention": 0, "dead_letters": 0, "outbox_lag": 0.0, "workers": 1}
    assert json.loads(run("saga_health", "--json")[0]) == figures
    assert "stuck         0\n" in run("saga_health")[0]


def test_a_limit_that_is_broken_is_told_and_exits_4(sagas):
    sagas.failed()
    sagas.pending()
    InboxMessage.objects.create(event_id=uuid4(), subscriber="x", topic="t", status="dead")
    clock.shift(timedelta(minutes=5))

    refusal = refused("saga_health", "--max-attention", "0")

    assert str(refusal) == "Not well: 1 stuck, above 0; 1 need a person, above 0."
    assert refusal.returncode == 4
    out, _err = run("saga_health", "--max-stuck", "1", "--json")
    assert json.loads(out)["dead_letters"] == 1


def test_an_event_that_waits_too_long_is_told(db, monkeypatch):
    def due():
        return InboxMessage.objects.filter(status="due")

    monkeypatch.setattr("sagas.management.commands.saga_health.deliveries_due", due)
    InboxMessage.objects.create(event_id=uuid4(), subscriber="x", topic="t", status="due")
    run("saga_health")
    clock.shift(timedelta(minutes=5))
    refusal = refused("saga_health")
    assert str(refusal) == "Not well: an event waits for 300 s, above 0:01:00."
    run("saga_health", "--max-outbox-lag", "10m")


def test_workers_are_listed_with_those_that_are_silent(db):
    assert run("list_workers") == ("", "No runner is at work.\n")
    worker(7)
    clock.shift(timedelta(seconds=20))
    worker(8)
    Worker.objects.filter(pid=8).update(beat_at=clock.DatabaseTime())

    head, first, second = run("list_workers")[0].splitlines()

    assert head.split()[:5] == ["HOST", "PID", "QUEUE", "BUSY", "SLOTS"]
    assert first.split()[:5] == ["shop-1", "8", "sagas", "3", "16"]
    assert second.endswith("0:00:20 ago, dead")
    told = [json.loads(line) for line in run("list_workers", "--json")[0].splitlines()]
    assert [(each["pid"], each["is_alive"]) for each in told] == [(8, True), (7, False)]
