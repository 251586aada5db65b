"""Whether a cluster is at work, stands still for a good reason, or is wedged. Pure.

A queue whose processes are all alive may still be dead: when one is killed that holds a lock of
`multiprocessing`, the others wait for it for ever. Only work that is due and not taken tells.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from sagas.engine.heartbeat import ALIVE_FOR

LONGEST_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class Runner:
    """What a runner of the cluster said of itself at its last beat."""

    silent_for: timedelta
    busy: int
    """Sagas in its hand."""


@dataclass(frozen=True)
class Sight:
    """What one look at the database saw."""

    oldest: tuple[Hashable, ...] | None = None
    """What tells from others the saga that has been due the longest, of those that this code can run."""
    runners: Sequence[Runner] = ()
    """Those of this cluster."""


class Verdict(Enum):
    """What is to be done about the cluster."""

    WELL = "well"
    RING = "ring"
    """Work is due: ask the workers to look."""
    REPLACE = "replace"
    """It had its time, and nothing moves."""


def is_at_work(sight: Sight) -> bool:
    """Say whether a runner that beats has sagas in its hand: then it works, however long its steps take."""
    return any(runner.busy and runner.silent_for <= ALIVE_FOR for runner in sight.runners)


class Watch:
    """Judges what is seen, one look after the other."""

    def __init__(self, patience: timedelta = ALIVE_FOR) -> None:
        self._first = self._patience = patience
        self._before = Sight()
        self._still_since: float | None = None

    @property
    def patience(self) -> timedelta:
        """How long work may be due, and nobody take it, before the cluster is replaced."""
        return self._patience

    def judge(self, sight: Sight, at: float) -> Verdict:
        """Say what is to be done. `at` is the time of the look in seconds, by a monotonic clock."""
        # Sagas are claimed in the order in which they are due: while some are, the oldest is soon another.
        taken = self._before.oldest is not None and sight.oldest != self._before.oldest
        self._before = sight
        if taken or is_at_work(sight):
            self._patience = self._first
            self._still_since = None
        if sight.oldest is None:
            self._still_since = None
            return Verdict.WELL
        if self._still_since is None:
            self._still_since = at
        if at - self._still_since >= self._patience.total_seconds():
            return Verdict.REPLACE
        return Verdict.RING

    def was_replaced(self) -> None:
        """Give the next cluster twice the time, as long as nothing is taken."""
        self._still_since = None
        self._patience = min(self._patience * 2, LONGEST_PATIENCE)
