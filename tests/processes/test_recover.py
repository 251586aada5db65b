"""``recover_sagas`` as processes, without any worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from sagas import start, start_many
from sagas.engine.recovery import overdue
from sagas.models import Saga, SagaStep, Worker
from tests.processes.conftest import LEASE_SECONDS
from tests.project.environment import ROOT
from tests.world.ledger import Ledger
from tests.world.sagas import Trip

pytestmark = pytest.mark.processes

Eventually = Callable[..., float]


def recover(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "django", "recover_sagas", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def summary(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _err = process.communicate(timeout=60)
    assert process.returncode == 0
    return dict(json.loads(out))


def all_ended() -> bool:
    return not Saga.objects.filter(ended_at=None).exists()


def test_two_at_once_do_everything_once(world: Ledger) -> None:
    start_many(Trip, [{"number": number} for number in range(200)])

    for told in map(summary, [recover("--run", "--json") for _ in range(2)]):
        assert told["failed"] == 0

    assert Saga.objects.filter(status="completed").count() == 200
    assert Counter(call.what for call in world.calls()) == {"flight": 200, "hotel": 200, "car": 200}
    assert not SagaStep.objects.exclude(attempts=1).exists()
    assert not Worker.objects.exists()


def test_it_takes_over_from_one_that_was_killed(world: Ledger, eventually: Eventually) -> None:
    saga = start(Trip, {"number": 1, "seconds": 20})
    first = recover("--run")
    eventually(lambda: bool(world.calls(what="hotel")), within=20, what="the hotel is called")

    first.kill()
    first.communicate()
    eventually(overdue().exists, within=LEASE_SECONDS + 10, what="its lease ends")

    told = summary(recover("--run", "--json"))
    assert (told["recovered"], told["by_class"]["lease"]) == (1, 1)
    saga.refresh_from_db()
    assert saga.status == "completed"
    assert len({call.key for call in world.calls(what="hotel")}) == 1


def test_in_a_loop_it_stands_in_for_a_cluster_until_it_is_told_to_stop(
    world: Ledger, eventually: Eventually
) -> None:
    process = recover("--run", "--loop", "--interval", "0.1s")
    for number in range(2):
        start(Trip, {"number": number})
        eventually(all_ended, within=30, what="the saga ends")
    assert process.poll() is None

    process.send_signal(signal.SIGTERM)

    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
