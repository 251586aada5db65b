"""The books of the world outside: what was asked of it and what took effect, in its order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """What a line tells."""

    ASKED = "asked"
    """A request arrived."""
    DONE = "done"
    """An action took effect."""
    UNDONE = "undone"
    """A compensation took effect."""
    EMPTY = "empty"
    """There was nothing to undo; where tombstones are kept, one was left."""
    AGAIN = "again"
    """It had happened under this key before, and did not happen again."""
    BARRED = "barred"
    """A tombstone kept an action from taking effect."""


class Service(StrEnum):
    """How far a service can be trusted with a request that comes twice, or late."""

    SMART = "smart"
    """It knows keys, and keeps tombstones of what was undone before it was done."""
    KEYED = "keyed"
    """It knows keys."""
    DUMB = "dumb"
    """It does whatever it is asked."""
    LOCAL = "local"
    """It lives in the sagas' own database and uses `sagas.participants`."""
    ATOMIC = "atomic"
    """A step's own rows, written in one transaction with its outcome."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the books."""

    kind: Kind
    saga: str
    """Its id; of the call of a handler, the correlation id."""
    event: str = ""
    """The event that is being handled; otherwise it is about a step."""
    step: str
    """Of a handler, the name of its subscription."""
    service: Service
    way: str = "forward"
    key: str = ""
    attempt: int = 0
    at: float = 0.0
    fate: str = "ok"
    results: dict[str, Any] = field(default_factory=dict)
    """Of a request: the results of earlier steps, as the step had them."""
    seen: dict[str, Any] | None = None
    """Of a request: what the database said of the step when it arrived; None if it did not answer."""

    @classmethod
    def of(cls, row: dict[str, Any]) -> Line:
        """Return the line that was stored so."""
        return cls(**row | {"kind": Kind(row["kind"]), "service": Service(row["service"])})


class Ledger:
    """The books as a file of lines, each written at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def append(self, line: Line) -> None:
        """Write a line."""
        with self._path.open("ab", buffering=0) as book:
            book.write(json.dumps(asdict(line)).encode() + b"\n")

    def lines(self) -> Iterator[Line]:
        """Read all lines, the oldest first."""
        with self._path.open() as book:
            for row in book:
                yield Line.of(json.loads(row))
