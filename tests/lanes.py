"""Runs the tests on both databases: ``python -m tests.lanes [ARGUMENT OF PYTEST...]``.

In two lanes at the same time, for much of it is waiting. PostgreSQL has one, and speaks as it goes; the
other, whose words come last, has SQLite and then, on a PostgreSQL of its own, the crash points. That
something fails in one only says the most.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from threading import Thread
from typing import IO

SQLITE = [sys.executable, "-m", "pytest"]
POSTGRESQL = [sys.executable, "-m", "tests.postgres", *SQLITE]
NOTHING_CHOSEN = 5
"""What pytest exits with where the arguments leave a lane without tests."""


class Lane(Thread):
    """Runs commands one after the other, each whatever the one before came to."""

    def __init__(self, *commands: Sequence[str], output: IO[str] | None = None) -> None:
        super().__init__(daemon=True)
        self._commands = commands
        self._output = output
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = False
        self.has_failed = False

    def run(self) -> None:
        for command in self._commands:
            if self._is_stopped:
                return
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output, text=True
            )
            self.has_failed |= self._process.wait() not in (0, NOTHING_CHOSEN)

    def stop(self) -> None:
        """End the command at hand, and run no other."""
        self._is_stopped = True
        if self._process is not None:
            self._process.terminate()


def main(arguments: Sequence[str]) -> int:
    """Run both lanes, and return whether something failed."""
    with tempfile.TemporaryFile("w+") as said:
        crashes = [*POSTGRESQL, "-m", "crashes", *arguments]
        lanes = [
            Lane([*POSTGRESQL, "-m", "not crashes", *arguments]),
            Lane([*SQLITE, *arguments], crashes, output=said),
        ]
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        try:
            for lane in lanes:
                lane.start()
            for lane in lanes:
                lane.join()
        finally:
            for lane in lanes:
                lane.stop()
        said.seek(0)
        sys.stdout.write(said.read())
    return int(any(lane.has_failed for lane in lanes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
