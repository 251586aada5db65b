"""The project behind uvicorn, as a process of its own, on this machine only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Self
from urllib.error import URLError
from urllib.request import urlopen

HOST = "127.0.0.1"
START_WITHIN = 60
STOP_WITHIN = 15


class Served:
    """A server that ends with the ``with`` block at the latest. `url` is where it is.

    Its processes listen at one port with a socket each, so that the kernel shares the connections out: of one
    socket whichever wakes first takes all that are there.
    """

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
        with ExitStack() as sockets:
            ours = [sockets.enter_context(_socket())]
            port = ours[0].getsockname()[1]
            ours += [sockets.enter_context(_socket(port)) for _ in range(self._workers - 1)]
            self.url = f"http://{HOST}:{port}"
            self.processes = [self._start(each.fileno()) for each in ours]
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

    def _start(self, descriptor: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", self._application, "--fd", str(descriptor)),
                *("--lifespan", "off", "--no-access-log", "--log-level", "error"),
                *("--timeout-graceful-shutdown", "2"),
            ],
            env={**os.environ, **self._environment},
            stdout=self._log,
            stderr=self._log,
            pass_fds=[descriptor],
        )

    def kill(self) -> None:
        """End it as a crash would."""
        for process in self.processes:
            process.kill()
        self._end()

    def _wait_until_open(self) -> None:
        given_up_at = time.monotonic() + START_WITHIN
        while True:
            try:
                urlopen(f"{self.url}/api/schema/", timeout=START_WITHIN).close()
            except (URLError, ConnectionError) as error:
                has_ended = any(process.poll() is not None for process in self.processes)
                if has_ended or time.monotonic() > given_up_at:
                    raise TimeoutError(f"The server did not answer: {error}") from error
                time.sleep(0.1)
            else:
                return

    def _end(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _socket(port: int = 0) -> socket.socket:
    """Return a socket for one process, at a port that others may share."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Of a socket that it is given uvicorn does not ask it, and answers wait 40 ms for an acknowledgement.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.bind((HOST, port))
    return made
