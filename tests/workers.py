"""django-q2's workers, told from its other processes by their titles, which need setproctitle."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil


def reader_among(processes: Iterable[psutil.Process]) -> psutil.Process | None:
    """Return the worker that holds the lock of the task queue while it waits for the next task.

    The other workers wait for that lock; django-q2's monitor reads from a pipe as well. Linux alone says
    what a process waits for.
    """
    for process in processes:
        with suppress(OSError, psutil.NoSuchProcess):
            waits_for = Path(f"/proc/{process.pid}/wchan").read_text()
            if "pipe" in waits_for and _title(process).endswith("idle"):
                return process
    return None


def have_no_task(processes: Iterable[psutil.Process]) -> bool:
    """Return whether none of them is a worker that runs a task."""
    return not any(" processing " in _title(process) for process in processes)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).rstrip()
    except psutil.NoSuchProcess:
        return ""
