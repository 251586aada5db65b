"""The project behind uvicorn, as a process of its own, on this machine only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Self
from urllib.error import URLError
from urllib.request import urlopen

HOST = "127.0.0.1"
START_WITHIN = 60
STOP_WITHIN = 15


class Served:
    """A server that ends with the ``with`` block at the latest. `url` is where it is."""

    def __init__(
        self,
        application: str = "sagaproject.asgi:application",
        *,
        environment: Mapping[str, str] | None = None,
        workers: int = 1,
        log: IO[bytes] | None = None,
    ) -> None:
        self._application = application
        self._environment = environment or {}
        self._workers = workers
        self._log = log

    def __enter__(self) -> Self:
        port = _free_port()
        self.url = f"http://{HOST}:{port}"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", self._application, "--host", HOST, "--port", str(port)),
                *("--workers", str(self._workers), "--lifespan", "off", "--no-access-log"),
                *("--log-level", "error", "--timeout-graceful-shutdown", "2"),
            ],
            env={**os.environ, **self._environment},
            stdout=self._log,
            stderr=self._log,
        )
        try:
            self._wait_until_open()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _wait_until_open(self) -> None:
        given_up_at = time.monotonic() + START_WITHIN
        while True:
            try:
                urlopen(f"{self.url}/api/schema/", timeout=START_WITHIN).close()
            except (URLError, ConnectionError) as error:
                if self.process.poll() is not None or time.monotonic() > given_up_at:
                    raise TimeoutError(f"The server did not answer: {error}") from error
                time.sleep(0.1)
            else:
                return

    def _end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
