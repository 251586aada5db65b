"""All the processes of one run: database, proxy, world, web server and hosts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from tests.chaos.apps import MUTANT
from tests.chaos.hosts import Host
from tests.chaos.profiles import Profile
from tests.chaos.wire import WORLD, ask
from tests.postgres import PORT, Server
from tests.served import Served

START_WITHIN = 60.0
WEB = "web"


class Stage:
    """The processes, from the first to the last."""

    def __init__(self, server: Server, folder: Path, profile: Profile, *, mutant: str | None) -> None:
        self.server = server
        self.folder = folder
        self.ledger = folder / "ledger.jsonl"
        self.doors = [f"host{nth}" for nth in range(1, profile.hosts + 1)] + [WEB]
        self._profile = profile
        self._mutant = mutant
        self._world = str(folder / "world.socket")
        self._proxy = str(folder / "proxy.socket")
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as running:
            socket = f"{unquote(self.server.address.partition('?host=')[2])}/.s.PGSQL.{PORT}"
            self._start(running, "world", self._world, str(self.ledger), self.server.address)
            self._start(running, "proxy", self._proxy, socket, *self.doors)
            for path in (self._world, self._proxy):
                wait_until(Path(path).exists, within=START_WITHIN, what=f"{path} is there")
            ports = ask(self._proxy, {"ask": "ports"})
            self.hosts = [
                Host(name, self.folder, self._environment(ports[name])) for name in self.doors if name != WEB
            ]
            for host in self.hosts:
                host.keep()
                running.callback(host.kill)
            self._web_environment = self._environment(ports[WEB])
            self._web_log = running.enter_context((self.folder / f"{WEB}.log").open("ab"))
            self.serve()
            running.callback(lambda: self._served.__exit__(None, None, None))
            self._running = running.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.close()

    @property
    def url(self) -> str:
        """Where the API is."""
        return self._served.url

    def serve(self) -> None:
        """Start the web server."""
        self._served = Served(environment=self._web_environment, log=self._web_log)
        self._served.__enter__()

    def serve_again(self) -> None:
        """Kill the web server and start another, elsewhere."""
        self._served.kill()
        self.serve()

    def keep_hosts(self) -> None:
        """Start again what has ended of the supervisors."""
        for host in self.hosts:
            host.keep()

    def world(self, what: str, **more: Any) -> dict[str, Any]:
        """Tell the world something, or ask it."""
        return ask(self._world, {"ask": what, **more}, within=60)

    def door(self, name: str, what: str, **more: Any) -> dict[str, Any]:
        """Tell a door something."""
        return ask(self._proxy, {"ask": what, "door": name, **more})

    def calm(self) -> None:
        """End every fault of doors and services."""
        self.world("storm", share=0.0, seed=0)
        for name in self.doors:
            self.door(name, "pass")
            self.door(name, "delay", seconds=0.0)
            self.door(name, "lose", commits=0)
            self.door(name, "unanswer", commits=0)

    def _environment(self, port: int) -> dict[str, str]:
        environment = {
            "DATABASE_URL": f"postgres://postgres@127.0.0.1:{port}/postgres",
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "SAGAS_LEASE": str(self._profile.lease),
            "Q_WORKERS": str(self._profile.workers),
            "LOG_LEVEL": "WARNING",
            WORLD: self._world,
        }
        return environment | ({MUTANT: self._mutant} if self._mutant else {})

    def _start(self, running: ExitStack, name: str, *arguments: str) -> None:
        log = running.enter_context((self.folder / f"{name}.log").open("ab"))
        process = subprocess.Popen(
            [sys.executable, "-m", f"tests.chaos.{name}", *arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        running.callback(process.wait)
        running.callback(process.kill)


def wait_until(condition: Callable[[], bool], *, within: float, what: str) -> float:
    """Wait until something is so; return the seconds it took. Raises `TimeoutError`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within:
            raise TimeoutError(f"Not within {within:.0f} s: {what}.")
        time.sleep(0.05)
    return time.monotonic() - began
