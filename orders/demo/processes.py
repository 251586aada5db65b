"""The processes that a demonstration starts, and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

PROJECT = Path(__file__).resolve().parents[2]
GRACE = timedelta(seconds=10)


class ManagedCommand:
    """A management command in a process group of its own, which ends with the ``with`` block at the latest.

    Ctrl-C at the terminal does not reach it: whoever started it ends it, in its own order.
    """

    def __init__(self, name: str, *arguments: str, defaults: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._command = (name, *arguments)
        self._defaults = defaults or {}

    def __enter__(self) -> Self:
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sagas.supervision.child", str(os.getpid()), *self._command],
            env={**self._defaults, **os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),  # Standard output is for what the demonstration itself has to say.
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # To the first process alone: django-q2's cluster ends its workers itself, in the middle of no task.
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE.total_seconds())
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def pid(self) -> int:
        """The number of its first process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself, which it should not."""
        return self._process.poll() is not None
