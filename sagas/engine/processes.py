"""Where this code runs."""

from __future__ import annotations

import os
import socket
from uuid import UUID

from sagas.models import Worker


def worker_name(worker: UUID) -> str:
    """Return what a worker of this process is called in histories."""
    return Worker.name_of(worker, f"{socket.gethostname()}:{os.getpid()}")
