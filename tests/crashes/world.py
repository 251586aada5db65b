"""What lies outside of the database and outlives every process: a service that knows idempotency keys.

It is a file of lines, each written at once, so that what a killed process asked for stays asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sagas import PermanentFailure


@dataclass(frozen=True)
class Line:
    """One thing that happened out there."""

    happened: str
    """``asked``, ``done``, ``undone`` or ``barred``: undone before it was done."""
    saga: str
    step: str
    way: str
    key: str


class World:
    """The service, in whichever process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def do(self, saga: object, step: str, key: str) -> None:
        """Have an effect, once per key. Raises `PermanentFailure` if it was undone before."""
        self._write("asked", saga, step, "forward", key)
        happened = {line.happened for line in self.lines() if line.key == key}
        if happened & {"undone", "barred"}:
            raise PermanentFailure(f"{step} was undone before it was asked for.")
        if "done" not in happened:
            self._write("done", saga, step, "forward", key)

    def undo(self, saga: object, step: str, key: str, undoes: str) -> None:
        """Undo what was done under a key, or see to it that it never will be."""
        self._write("asked", saga, step, "back", key)
        happened = {line.happened for line in self.lines() if line.key == undoes}
        if not happened & {"undone", "barred"}:
            self._write("undone" if "done" in happened else "barred", saga, step, "back", undoes)

    def lines(self) -> Sequence[Line]:
        """Return all that happened, in its order."""
        if not self._path.exists():
            return []
        return [Line(*line.split("\t")) for line in self._path.read_text().splitlines()]

    def _write(self, happened: str, saga: object, step: str, way: str, key: str) -> None:
        with self._path.open("a") as file:
            file.write(f"{happened}\t{saga}\t{step}\t{way}\t{key}\n")


def wrongs_of(
    lines: Sequence[Line], saga: object, status: str, steps: Sequence[str], *, undone_again: int = 0
) -> list[str]:
    """Return what is wrong with the effects of a saga that stands at this status; nothing, as a rule.

    Each effect at most once and under one key; of a completed saga all, in their order; of a compensated
    one none is left, and they were undone in the reverse order. Each time that a person had it
    `undone_again`, compensations have another key.
    """
    ours = [line for line in lines if line.saga == str(saga)]
    wrongs = []
    keys = defaultdict(set)
    for line in ours:
        if line.happened == "asked":
            keys[line.step, line.way].add(line.key)
    wrongs += [
        f"{step} was asked for under {len(of)} keys"
        for (step, way), of in keys.items()
        if len(of) > 1 + (undone_again if way == "back" else 0)
    ]
    done = [line.step for line in ours if line.happened == "done"]
    undone = [line.step for line in ours if line.happened == "undone"]
    for name, each in (("done", done), ("undone", undone)):
        wrongs += [f"{step} was {name} {n} times" for step, n in Counter(each).items() if n > 1]
    if status == "completed" and (done != list(steps) or undone):
        wrongs.append(f"it is completed, but {done} were done and {undone} undone")
    if status == "compensated" and undone != done[::-1]:
        wrongs.append(f"it is compensated, but {done} were done and {undone} undone")
    if status not in ("completed", "compensated") and undone:
        wrongs.append(f"it is {status}, but {undone} were undone")
    return wrongs
