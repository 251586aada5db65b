"""Who is measured: each a script that prints its figures, and what it needs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from benchmarks import capabilities
from benchmarks.deployed import DEPLOYED
from benchmarks.environments import NoEnvironment, python_of

PROJECT = "project"
"""The database with our tables in it, which those of our contestants are copies of."""

MEANT_FOR_OTHERS = (
    *("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "PYTHONPATH"),
    *("Q_NOTIFY", "Q_CLUSTER_NAME", "SAGAS_LEASE"),
)


class NotHere(Exception):
    """A contestant cannot run here; the text says why."""


@dataclass(frozen=True)
class Contestant:
    """One script, and with how much work it is measured."""

    name: str
    command: Callable[[], list[str]]
    """Returns what to run, or raises `NotHere`."""
    sagas: int
    warm_up: int
    template: str | None = None
    """The database that its own is a copy of; None is an empty one."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def invocation(self) -> list[str]:
        """Return the whole command. Raise `NotHere`."""
        return [*self.command(), "--sagas", str(self.sagas), "--warm-up", str(self.warm_up)]


def environment(address: str, **more: str) -> dict[str, str]:
    """Return the environment in which a script finds its database, and nothing that was meant for another."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in MEANT_FOR_OTHERS and not name.startswith("PG")
    }
    return kept | DEPLOYED | {"DATABASE_URL": address} | more


def all_contestants(*, sagas: int, broker: str) -> Iterator[Contestant]:
    """Yield everyone, in the order of a round; `sagas` is the workload's number, and the others' follow."""
    warm_up = max(20, sagas // 25)
    timed = max(30, sagas // 25)
    alone = max(4, sagas // 500)
    a_fifth = max(20, sagas // 5)
    few = max(20, a_fifth // 25)
    yield Contestant("async", ours("async"), sagas, warm_up, PROJECT)
    yield Contestant("dbos", peer("dbos"), a_fifth, few)
    yield Contestant("sync", ours("sync"), sagas, warm_up, PROJECT)
    yield Contestant("celery", celery("always"), a_fifth, few)
    yield Contestant("atomic", _atomic, sagas, warm_up, PROJECT)
    yield Contestant("procrastinate", peer("procrastinate"), a_fifth, few)
    yield Contestant("limit", limit("transactions"), sagas, warm_up)
    yield Contestant("naive_q2", ours("naive"), a_fifth, few, PROJECT, {"BENCHMARKS_BULK": "20"})
    yield Contestant("celery_everysec", celery("everysec"), a_fifth, few)
    yield Contestant("limit_one_statement", limit("one_statement"), sagas, warm_up)
    yield Contestant("io", ours("io"), 2 * sagas, warm_up, PROJECT)
    yield Contestant("warm", ours("warm"), timed, warm_up, PROJECT)
    yield Contestant("idle", ours("idle"), alone, warm_up, PROJECT)
    yield Contestant("idle_notify", _woken_by(broker), alone, warm_up, PROJECT, {"BENCHMARKS_BROKER": broker})


def ours(what: str) -> Callable[[], list[str]]:
    """Return how one of our own workloads is run."""
    return lambda: [sys.executable, "-m", "django", "measure", what]


def peer(name: str, *arguments: str) -> Callable[[], list[str]]:
    """Return how a peer is run."""

    def command() -> list[str]:
        try:
            return [str(python_of(name)), "-m", f"benchmarks.peers.{name}", *arguments]
        except NoEnvironment as error:
            raise NotHere(str(error)) from error

    return command


def celery(appendfsync: str) -> Callable[[], list[str]]:
    """Return how Celery is run, on a Redis that syncs so."""

    def command() -> list[str]:
        server = shutil.which("redis-server")
        if server is None:
            raise NotHere("there is no redis-server on PATH")
        return peer("celery", "--redis-server", server, "--appendfsync", appendfsync)()

    return command


def limit(script: str) -> Callable[[], list[str]]:
    """Return how pgbench is run."""

    def command() -> list[str]:
        program = capabilities.pgbench()
        if program is None:
            raise NotHere("there is no pgbench")
        return [sys.executable, "-m", "benchmarks.limit", program, script]

    return command


def _atomic() -> list[str]:
    if not capabilities.HAS_ATOMIC_STEPS:
        raise NotHere("this engine has no atomic steps")
    return ours("atomic")()


def _woken_by(broker: str) -> Callable[[], list[str]]:
    def command() -> list[str]:
        if not capabilities.has_module_of(broker):
            raise NotHere(f"there is no {broker}")
        return ours("idle")()

    return command
