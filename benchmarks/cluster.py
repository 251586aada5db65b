"""A django-q2 cluster on the database at hand, as `manage.py qcluster` runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep

from benchmarks.processes import group


class TookTooLong(Exception):
    """What was waited for did not come."""


@contextmanager
def cluster() -> Iterator[None]:
    """Run a cluster for the length of the block.

    It is killed, not stopped: its database goes with it, and nobody waits for what is in its hands.
    """
    command = [sys.executable, "-m", "sagas.supervision.child", str(os.getpid()), "qcluster"]
    with group(command, stdout=sys.stderr.fileno(), grace=0) as process:
        yield
        if process.poll() is not None:
            raise TookTooLong("The cluster ended by itself. Its last words are above.")


def wait_until(condition: Callable[[], bool], *, within: float, what: str, every: float = 0.02) -> None:
    """Look again and again until it is so."""
    deadline = monotonic() + within
    while not condition():
        if monotonic() > deadline:
            raise TookTooLong(f"Not within {within:.0f} s: {what}.")
        sleep(every)
