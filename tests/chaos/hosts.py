"""A host: one supervised cluster, whose processes can be found by what they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from tests.workers import reader_among

GRACE = 10


class Host:
    """A cluster under its supervisor, which is started again when it ends, as a host's init does."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        home = folder / name
        home.mkdir()
        self._environment = {**os.environ, **environment, "TMPDIR": str(home)}
        self._process: subprocess.Popen[bytes] | None = None

    def keep(self) -> None:
        """Start it, unless it runs. On the main thread, with whose end the kernel ends it."""
        if self._process is not None and self._process.poll() is None:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "sagas.supervision.child", str(os.getpid())),
                    *("saga_cluster", "--grace", f"{GRACE}s"),
                ],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> bool:
        """Ask it to end; say whether it did so by itself."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(2 * GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        """End the supervisor at once; the kernel ends the rest."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def supervisor(self) -> psutil.Process:
        """The supervisor. Raises `psutil.NoSuchProcess`."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    @property
    def main(self) -> psutil.Process | None:
        """The cluster's first process, if there is one now."""
        with suppress(psutil.NoSuchProcess):
            return next(iter(self.supervisor.children()), None)
        return None

    @property
    def sentinel(self) -> psutil.Process | None:
        """The process that watches the cluster's others."""
        with suppress(psutil.NoSuchProcess):
            main = self.main  # Which may be gone the next time it is asked for.
            return next(iter(main.children()), None) if main else None
        return None

    @property
    def members(self) -> list[psutil.Process]:
        """The sentinel's children: workers, monitor and pusher, the oldest first."""
        with suppress(psutil.NoSuchProcess):
            if (sentinel := self.sentinel) is not None:
                return sorted(sentinel.children(), key=psutil.Process.create_time)
        return []

    @property
    def everything(self) -> list[psutil.Process]:
        """Every process of it."""
        with suppress(psutil.NoSuchProcess):
            return [self.supervisor, *self.supervisor.children(recursive=True)]
        return []

    @property
    def reader(self) -> psutil.Process | None:
        """The worker that holds the lock of the task queue while it waits for the next task."""
        return reader_among(self.members)
