"""What the engine at hand can do that is worth measuring, and what this machine has to measure with."""

from __future__ import annotations

import shutil
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

from sagas import Step
from tests.postgres import INSTALLED

HAS_ATOMIC_STEPS = any(field.name == "atomic" for field in fields(Step))
"""Whether a step can run within the transaction that records it."""

NOTIFY_BROKER = "sagas.queue.broker.NotifyBroker"


def has_module_of(dotted_path: str) -> bool:
    """Whether there is a module that this class could be in."""
    try:
        return find_spec(dotted_path.rpartition(".")[0]) is not None
    except ModuleNotFoundError:
        return False


def pgbench() -> str | None:
    """Return where pgbench is: on PATH, or where systems put PostgreSQL's programs."""
    if on_path := shutil.which("pgbench"):
        return on_path
    for pattern in INSTALLED:
        for server in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True):
            if (program := server.with_name("pgbench")).exists():
                return str(program)
    return None
