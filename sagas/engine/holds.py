"""Definitions and participants at which, for the time being, no new attempt goes forward."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from django.db.models import Q

from sagas.clock import DatabaseTime
from sagas.definitions import Participant
from sagas.models import Hold

FRESH = timedelta(seconds=1)
"""How old a runner's knowledge of the holds may be."""


@dataclass(frozen=True)
class Holds:
    """The holds in force: each by what is held, with when it ends if that is known."""

    definitions: dict[str, datetime | None]
    participants: dict[str, datetime | None]

    @classmethod
    def in_force(cls) -> Holds:
        """Read them: one statement."""
        definitions, participants = {}, {}
        for hold in Hold.objects.filter(Q(until=None) | Q(until__gt=DatabaseTime())):
            if hold.definition:
                definitions[hold.definition] = hold.until
            else:
                participants[hold.participant] = hold.until
        return cls(definitions, participants)

    def on(self, definition: str, participant: Participant | None) -> tuple[str, datetime | None] | None:
        """Return the name of the hold that keeps a step from going forward, and when it ends."""
        if definition in self.definitions:
            return hold_name(definition=definition), self.definitions[definition]
        if participant is not None and participant.name in self.participants:
            return hold_name(participant=participant.name), self.participants[participant.name]
        return None


class FreshHolds:
    """The holds as a runner knows them, read anew when they are a second old."""

    def __init__(self) -> None:
        self._holds: Holds | None = None
        self._read_at = 0.0

    def get(self) -> Holds:
        """Return the holds in force, as of the last second."""
        if self._holds is None or monotonic() - self._read_at > FRESH.total_seconds():
            self._holds, self._read_at = Holds.in_force(), monotonic()
        return self._holds


def hold_name(*, definition: str = "", participant: str = "") -> str:
    """Return what a step that waits for the release of a hold waits on."""
    return f"hold:definition:{definition}" if definition else f"hold:participant:{participant}"
