"""A crash on demand: a worker's process ends in the middle of a step, as if its machine had lost power.

Only a django-q2 worker is ended so. A web process, a shell or a test that comes by goes on unharmed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal

WORKER_LOOP = "django_q.worker"


def in_worker() -> bool:
    """Say whether this process was started to run django-q2's worker loop, and for nothing else.

    What a process was started for cannot be set by accident, as a flag, a variable or a setting could; a test
    that calls the worker loop within itself was started for something else.
    """
    target = getattr(multiprocessing.current_process(), "_target", None)
    return getattr(target, "__module__", None) == WORKER_LOOP


def crash_worker() -> None:
    """End this process without a chance to clean up, if it is a worker; else do nothing."""
    if in_worker():
        os.kill(os.getpid(), signal.SIGKILL)
