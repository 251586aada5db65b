"""Two hosts, each with a supervised cluster, on one database: one is gone from one moment to the next."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
from django.db import connections

from orders.demo.processes import ManagedCommand
from sagas import start_many
from sagas.models import Saga
from tests.processes.conftest import LEASE_SECONDS
from tests.processes.test_clusters import Eventually, all_ended
from tests.samples import postgresql_only
from tests.world.ledger import Ledger
from tests.world.sagas import Trip

pytestmark = [pytest.mark.processes, postgresql_only]

SAGAS = 200
REDIS = shutil.which("redis-server")


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Redis server of this test's own, behind a socket, that the clusters' messages go through."""
    if REDIS is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    socket = tmp_path / "redis.socket"
    command = [REDIS, "--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        monkeypatch.setenv("REDIS_SOCKET", str(socket))
        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.world.redis_settings")
        yield
        server.terminate()


@pytest.fixture
def hosts(
    world: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], ManagedCommand]]:
    """Starts hosts, each with a folder of its own for its supervisor's notes."""
    with ExitStack() as running:

        def another() -> ManagedCommand:
            folder = tmp_path / f"host {len(os.listdir(tmp_path))}"
            folder.mkdir()
            monkeypatch.setenv("TMPDIR", str(folder))
            return running.enter_context(ManagedCommand("saga_cluster", "--grace", "5s"))

        yield another
    connections.close_all()


def cut_off(host: ManagedCommand) -> None:
    """End all that runs on a host at once: nobody there can say goodbye."""
    processes = [psutil.Process(host.pid), *psutil.Process(host.pid).children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)  # None of them may see another one die.
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def one_is_cut_off(world: Ledger, hosts: Callable[[], ManagedCommand], eventually: Eventually) -> None:
    first, _second = hosts(), hosts()
    start_many(Trip, [{"number": number, "seconds": 0.2} for number in range(SAGAS)])
    eventually(lambda: len(world.calls(what="hotel")) > 20, within=30, what="work is in full swing")

    cut_off(first)

    eventually(all_ended, within=60 + LEASE_SECONDS, what="the other host ends all sagas")
    assert Saga.objects.filter(status="completed").count() == SAGAS
    effects = Counter(effect.partition(".")[0] for effect in world.effects())
    assert effects == {"flight": SAGAS, "hotel": SAGAS, "car": SAGAS}
    for what in effects:
        keys: dict[str, set[str]] = {}
        for call in world.calls(what=what):
            keys.setdefault(call.saga, set()).add(call.key)
        assert all(len(each) == 1 for each in keys.values())


def test_when_one_of_two_hosts_is_cut_off_the_other_ends_all_sagas(
    world: Ledger, hosts: Callable[[], ManagedCommand], eventually: Eventually
) -> None:
    one_is_cut_off(world, hosts, eventually)


def test_so_it_is_with_messages_in_redis(
    world: Ledger, redis: None, hosts: Callable[[], ManagedCommand], eventually: Eventually
) -> None:
    one_is_cut_off(world, hosts, eventually)
