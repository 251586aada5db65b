"""How many calls go together, or wait for a thread: learnt from how long they have taken."""

from __future__ import annotations

from datetime import timedelta

MOMENT = timedelta(milliseconds=50)
MOST_AHEAD = 30
"""Attempts that wait for one thread, at most."""


class Company:
    """How many atomic attempts share a transaction: many where they are quick, one where they are slow.

    Where all of late were done, they share it without savepoints, which cost more than a quick write. One
    that fails then takes the others back with it: after that they are guarded again for a while.
    """

    most = 100
    moment = timedelta(milliseconds=250)
    wary_for = 20
    """Groups that are guarded after one that failed."""

    def __init__(self) -> None:
        self.seconds = self.moment.total_seconds() / 4
        self._wary = 0

    @property
    def is_trusting(self) -> bool:
        """Whether a group may go without savepoints."""
        return self._wary == 0

    def lose_trust(self) -> None:
        """Learn that one of a group failed."""
        self._wary = self.wary_for

    @property
    def size(self) -> int:
        """How many may go together."""
        return max(1, min(self.most, int(self.moment.total_seconds() / max(self.seconds, 1e-6))))

    def note(self, seconds: float) -> None:
        """Learn how long one of them took."""
        self.seconds += (seconds - self.seconds) * 0.5
        self._wary = max(0, self._wary - 1)


class Pace:
    """How many sync attempts may wait for a thread: as many as the threads take in a moment.

    Where steps are quick, threads that wait for the books to be done stand idle, and the books are done for
    few at a time. Where they are slow, what waits here could run elsewhere.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._seconds = MOMENT.total_seconds()

    def backlog(self, seconds: float) -> int:
        """Return the backlog to allow, given that one more call took so long."""
        self._seconds += (seconds - self._seconds) * 0.1
        ahead = MOMENT.total_seconds() / max(self._seconds, 1e-6)
        return int(self._threads * min(max(ahead - 1, 0), MOST_AHEAD))
