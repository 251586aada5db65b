"""Processes that are gone when the block ends that started them, with everything that they started."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GRACE = 3.0


@contextmanager
def group(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    grace: float = GRACE,
) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a session of its own, and at the end kill what is left of it.

    Ctrl-C at the terminal does not reach it: whoever started it ends it.
    """
    process = subprocess.Popen(
        [*command],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        start_new_session=True,
        preexec_fn=dying_with_us(),
    )
    try:
        yield process
    finally:
        _end(process, grace)


@contextmanager
def members(*commands: Sequence[str | Path]) -> Iterator[list[subprocess.Popen[str]]]:
    """Run these commands in our own process group until the block ends.

    Their standard input is ours to write, and what they say goes to our standard error: figures alone go to
    the output.
    """
    processes: list[subprocess.Popen[str]] = []
    try:
        for command in commands:
            processes.append(
                subprocess.Popen(
                    [*command],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=sys.stderr.fileno(),
                    text=True,
                    preexec_fn=dying_with_us(),
                )
            )
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def dying_with_us() -> Callable[[], None] | None:
    """Return what a child runs to be killed when we die, however we do."""
    if sys.platform != "linux":
        return None
    set_parent_death_signal = 1
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # We died before that.
            os._exit(1)

    return tie


def _end(process: subprocess.Popen[str], grace: float) -> None:
    if process.poll() is None and grace:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    # Its first process may be gone while others of the group are not.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + GRACE
    while _has_members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)


def _has_members(group_id: int) -> bool:
    try:
        os.killpg(group_id, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
