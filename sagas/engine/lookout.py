"""When a runner looks for sagas, and for how many it asks."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic

from sagas.engine.claims import Claimed
from sagas.engine.slots import Slots

SHORTEST_PAUSE = 0.005
"""Seconds between two looks while there is something to find."""
PART = 8
"""A claim for less than this part of what is in hand waits for more room, since a small one costs as much,"""
PATIENCE = 0.05
"""but not for longer than so many seconds: what is in hand may take hours."""


def pause_after(idle: float, longest: float) -> float:
    """Return how many seconds to wait until the next look, when nothing was found for so many."""
    return min(max(idle / 4, SHORTEST_PAUSE), longest)


class Lookout:
    """Learns from each look when the next one is worth it; `poll` is the longest pause between two."""

    def __init__(self, slots: Slots, *, batch: int, poll: timedelta) -> None:
        self._slots = slots
        self._batch = batch
        self._poll = poll.total_seconds()
        self._next = self._last_found = self._looked = monotonic()
        self._more_due = self._apart = False
        self._lacking: frozenset[bool] = frozenset()
        """The kinds of slots that sagas were left for."""

    def is_time(self, *, in_hand: int) -> bool:
        """Say whether to look now, with so many sagas in hand."""
        now = monotonic()
        may_take = self._slots.free > 0 and not (in_hand and self._apart)
        is_worth_it = self.room * PART >= min(in_hand, self._batch) or now >= self._looked + PATIENCE
        return now >= self._next and may_take and is_worth_it

    @property
    def pause(self) -> float:
        """Seconds until it is time again, at most."""
        now = monotonic()
        at = self._next if self._next > now else self._looked + PATIENCE
        return at - now if at > now else self._poll

    @property
    def idle(self) -> float:
        """Seconds since there was something to do."""
        return monotonic() - self._last_found

    @property
    def has_paused(self) -> bool:
        """Whether there was nothing to do for as long as the longest pause."""
        return self.idle > self._poll

    @property
    def room(self) -> int:
        """For how many sagas to ask: others would be read in vain.

        It is a power of two, or a whole batch: each number makes another statement, to be planned anew.
        """
        room = (self._lacking and self._slots.free_of(self._lacking)) or self._slots.free
        return min((1 << room.bit_length()) >> 1, self._batch)

    def note_work(self) -> None:
        """Learn that there was something to do."""
        self._last_found = monotonic()

    def note(self, claimed: Claimed) -> None:
        """Learn what a look led to."""
        self._looked = monotonic()
        self._apart = claimed.apart
        self._more_due = claimed.full or bool(claimed.lacking)
        self._lacking = claimed.lacking | (self._lacking if claimed.full else frozenset())
        if claimed.attempts:
            self.note_work()
        if not self._has_room:
            pause = self._poll
        elif claimed.full:
            pause = 0.0
        else:
            pause = pause_after(self.idle, self._poll)
        self._next = self._looked + pause

    def note_let_go(self) -> None:
        """Learn that there is room again: if there was more to take, it is time to look."""
        if self._more_due and self._has_room:
            self._next = monotonic()

    @property
    def _has_room(self) -> bool:
        """Whether there are slots of each kind that has been lacking."""
        return not self._lacking or self._slots.free_of(self._lacking) > 0
