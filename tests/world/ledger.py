"""The books of services outside: every call, and the effects, which each key has once.

Files, so that nothing of the database under test, its transactions and its faults, can touch them. A line is
appended by one write, and an effect is a file that only one call can create.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

FOLDER = "SAGAS_TEST_WORLD"


@dataclass(frozen=True)
class Call:
    """One call as the service saw it."""

    what: str
    saga: str
    key: str
    pid: int


class Ledger:
    """The books in one folder."""

    def __init__(self, folder: Path) -> None:
        self._calls = folder / "calls"
        self._effects = folder / "effects"
        self._effects.mkdir(exist_ok=True)

    @classmethod
    def of_environment(cls) -> Ledger:
        """Open the books that the environment names."""
        return cls(Path(os.environ[FOLDER]))

    def call(self, what: str, saga: UUID, key: str) -> bool:
        """Note a call, and have its effect unless its key had it before; say whether it had it now."""
        line = json.dumps({"what": what, "saga": str(saga), "key": str(key), "pid": os.getpid()}) + "\n"
        with self._calls.open("ab", buffering=0) as book:
            book.write(line.encode())
        try:
            os.close(os.open(self._effects / f"{what}.{saga}.{key}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def calls(self, **wanted: str) -> list[Call]:
        """Return the calls noted so far, oldest first."""
        if not self._calls.exists():
            return []
        # A line that another process is just writing may be read in part.
        written, _, _ = self._calls.read_text().rpartition("\n")
        lines: list[dict[str, Any]] = [json.loads(line) for line in written.splitlines()]
        return [Call(**line) for line in lines if all(line[name] == value for name, value in wanted.items())]

    def effects(self) -> list[str]:
        """Return what took effect, as ``what.saga.key``."""
        return sorted(path.name for path in self._effects.iterdir())
