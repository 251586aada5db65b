"""A worker whose every move a test makes by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sagas.engine.atomics import perform
from sagas.engine.attempts import Attempt, Settled
from sagas.engine.claims import Claimed, claim
from sagas.engine.functions import call_here
from sagas.engine.holds import Holds
from sagas.engine.settlement import Settlement, Settling, settle
from sagas.engine.slots import Slots

LEASE = timedelta(seconds=30)


class Hand:
    """Claims, calls and settles for one worker."""

    def __init__(self, *, threads: int = 1000, tasks: int = 1000) -> None:
        self.id = uuid4()
        self.holds: Holds | None = Holds({}, {})
        self.slots = Slots(threads=threads, tasks=tasks)

    def claim(self, *, limit: int = 250, **options: Any) -> Claimed:
        """Take what is due."""
        return claim(self.id, self.slots, limit=limit, lease=LEASE, holds=self.holds, **options)

    def take(self, **options: Any) -> list[Attempt]:
        """Take what is due, and return the attempts to be made."""
        return self.claim(**options).attempts

    def settle(self, *outcomes: Settled, begin: bool = True) -> Settlement:
        """Write down what attempts came to."""
        return settle(outcomes, self.id, self.slots, lease=LEASE, begin=begin, holds=self.holds)

    def perform(self, attempts: Sequence[Attempt], *, trusting: bool = False) -> Settlement:
        """Make the calls of atomic attempts, and write down with them what they came to."""
        settling = Settling(self.id, self.slots, LEASE, True, Holds({}, {}))
        settlement, _seconds = perform(attempts, settling, trusting=trusting)
        return settlement

    def call(self, attempts: Iterable[Attempt]) -> list[Settled]:
        """Make the calls, and keep what they came to."""
        return [call_here(attempt) for attempt in attempts]
