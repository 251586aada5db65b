"""Which cases are begun in a run, what befalls their handlers, and which are undone: from the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tests.chaos.pace import Timed, paced
from tests.chaos.parts import ORDERED, PING, SENDER
from tests.chaos.plans import Fates


@dataclass(frozen=True, kw_only=True)
class PlannedCase(Timed):
    """A case to be begun by a client."""

    topic: str = ORDERED
    fates: Fates = field(default_factory=dict)
    key: str = ""
    undone_after: float | None = None
    """Seconds after which somebody wants it undone."""

    @property
    def id(self) -> str:
        """The correlation id of all of its events."""
        return f"case-{self.number}"

    @property
    def event_id(self) -> str:
        """The id of its first event: the same however often that is sent."""
        return str(uuid5(NAMESPACE_URL, self.id))

    @property
    def event(self) -> dict[str, Any]:
        """Its first event."""
        return {
            "specversion": "1.0",
            "id": self.event_id,
            "source": SENDER,
            "type": self.topic,
            **({"subject": self.key} if self.key else {}),
            "correlationid": self.id,
            "data": {"plan": {part: list(fates) for part, fates in self.fates.items()}},
        }


CAST = (
    # Each of these is in every run: what the rules are for, and what their mutant fails at.
    PlannedCase(),
    *2 * (PlannedCase(topic=PING),),
    PlannedCase(topic=PING, fates={"pong": ["error"]}),
    PlannedCase(fates={"reserve": ["dawdle"]}),
    PlannedCase(fates={"reserve": ["slow"], "close": ["dawdle"]}),
    PlannedCase(fates={"reserve": ["die"]}),
    PlannedCase(fates={"close": ["error_after"], "note": ["busy"]}),
    PlannedCase(fates={"note": ["error_after"] * 3}),
    PlannedCase(fates={"note": ["refuse"]}),
    PlannedCase(fates={"reserve": ["refuse"]}),
    PlannedCase(fates={"charge": ["refuse"]}),
    PlannedCase(fates={"charge": ["lose"]}),
    PlannedCase(fates={"charge": ["hang", "lose", "error_after"]}),
    PlannedCase(fates={"charge": ["late"], "close": ["slow"]}),
    PlannedCase(fates={"charge": ["slow"]}, undone_after=0.3),
    PlannedCase(fates={"reserve": ["slow"], "charge": ["slow"]}, undone_after=0.5),
    PlannedCase(fates={"charge": ["hang"], "close": ["dawdle"], "refund": ["lose"]}, undone_after=1.5),
    PlannedCase(fates={"close": ["refuse"], "refund": ["refuse"], "unreserve": ["busy"]}, undone_after=2.0),
    PlannedCase(fates={"close": ["slow"], "note": ["slow"]}, undone_after=1.0),
)

CODA = (
    # Begun when the faults are over: who dawdles must live to come back.
    *3 * (PlannedCase(fates={"reserve": ["dawdle"]}),),
    PlannedCase(fates={"close": ["slow"]}, undone_after=1.0),
)

_HERE = ("error", "error_after", "busy", "slow", "slow", "lose", "dawdle", "refuse")
_OUTSIDE = (*_HERE, "hang", "late", "too_late")
CALLS: Mapping[str, Sequence[str]] = {
    # What may befall which part.
    "reserve": _HERE,
    "charge": _OUTSIDE,
    "note": _HERE,
    "close": _HERE,
    "unreserve": ("error", "error_after", "busy", "refuse"),
    "refund": ("error", "error_after", "busy", "lose", "refuse"),
}
DEADLY = 0.01
"""The share of the cases one of whose handlers kills its worker."""
CIRCULAR = 0.03
"""The share of what is begun that would go on for ever."""
KEYS = 8


def drawn_cases(chance: random.Random, number: int, *, seconds: float) -> Iterator[PlannedCase]:
    """Plan so many cases over so many seconds, the cast and others by chance; and then more, without end."""
    cast = [replace(each, key=_key(chance)) for each in CAST]
    return paced(chance, cast, lambda: _by_chance(chance), number, seconds=seconds)


def _by_chance(chance: random.Random) -> PlannedCase:
    if chance.random() < CIRCULAR:
        return PlannedCase(topic=PING, key=_key(chance))
    fates = {
        part: chance.choices(possible, k=chance.choice((1, 1, 2)))
        for part, possible in CALLS.items()
        if chance.random() < 0.2
    }
    if chance.random() < DEADLY:
        fates[chance.choice(("reserve", "note", "close"))] = ["die"]
    return PlannedCase(
        fates=fates,
        key=_key(chance),
        undone_after=chance.uniform(0.0, 3.0) if chance.random() < 0.25 else None,
    )


def _key(chance: random.Random) -> str:
    return f"key-{chance.randrange(KEYS)}" if chance.random() < 0.9 else ""
