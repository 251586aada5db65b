"""What is known of the events of a run when all is over: outbox, inbox, and what their handlers have done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tests.chaos.ledger import Kind, Line
from tests.chaos.parts import BY_NAME, Part

HANDLED = ("done",)
SETTLED = ("done", "resolved")


@dataclass(frozen=True, kw_only=True)
class Published:
    """An event in the outbox."""

    number: int
    """Counts all events, in the order of their rows."""
    id: str
    topic: str
    case: str
    key: str = ""
    seq: int = 0
    cause: str = ""
    hops: int = 0
    is_way_back: bool = False
    undoes: str = ""
    saga: str = ""
    """The saga a step of which told it."""
    at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A delivery in the inbox."""

    event: str
    subscriber: str
    status: str = "done"
    error_class: str = ""
    error: str = ""
    crashes: int = 0
    """Of which it is known, for whoever is requeued starts afresh."""
    requeued: int = 0
    resolved_at: float | None = None
    """When somebody said that it needs no handling; None where nobody is on record to have said so."""
    ended_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A handler had an effect: here, or outside."""

    event: str
    subscriber: str
    told: str = ""
    at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """A saga that the events of one correlation id are."""

    id: str
    status: str


@dataclass(frozen=True, kw_only=True)
class EventBooks:
    """The events, from all sides."""

    published: Sequence[Published]
    deliveries: Sequence[Delivered]
    handled: Sequence[Effect]
    """The rows that handlers wrote here."""
    lines: Sequence[Line] = ()
    """The world's lines of handlers' calls, in their order."""
    cases: Sequence[Case] = ()
    asked: frozenset[str] = frozenset()
    """The ids of the events that clients asked to have published."""
    answered: frozenset[str] = frozenset()
    """Those that a client was told are."""
    forgotten: Sequence[str] = ()
    """Those that were published and then, asked again, not known."""
    written: Mapping[str, int] = field(default_factory=dict)
    """How often a step that tells of it has had its effect, by saga."""

    @cached_property
    def event(self) -> dict[str, Published]:
        return {event.id: event for event in self.published}

    @cached_property
    def delivery(self) -> dict[tuple[str, str], Delivered]:
        return {(each.event, each.subscriber): each for each in self.deliveries}

    @cached_property
    def by_case(self) -> dict[str, list[Published]]:
        """The events of each correlation id, in their order."""
        found: defaultdict[str, list[Published]] = defaultdict(list)
        for event in sorted(self.published, key=lambda each: each.number):
            found[event.case].append(event)
        return found

    @cached_property
    def effects(self) -> list[Effect]:
        """What handlers did here and outside, in its order."""
        outside = [
            Effect(event=line.event, subscriber=line.step, at=line.at)
            for line in self.lines
            if line.kind in (Kind.DONE, Kind.UNDONE, Kind.EMPTY)
        ]
        return sorted([*self.handled, *outside], key=lambda each: each.at)

    def case_of(self, event: str) -> str:
        """Return the correlation id of an event."""
        return self.event[event].case if event in self.event else event

    def told_by(self, event: Published) -> tuple[Published, Part] | None:
        """Return the event that led to this one, and the part that told it then."""
        if event.is_way_back or (cause := self.event.get(event.cause)) is None:
            return None
        for part in BY_NAME.values():
            if (part.hears, part.tells) == (cause.topic, event.topic):
                return cause, part
        return None
