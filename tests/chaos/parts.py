"""The events of a run, and who takes part in them: what each hears, does and tells."""

from __future__ import annotations

from dataclasses import dataclass

SENDER = "/chaos"
SECRET = "not much of one"
"""What clients sign their events with."""

CASE = "chaos.case"
ORDERED, RESERVED, CHARGED, CLOSED = "chaos.ordered", "chaos.reserved", "chaos.charged", "chaos.closed"
UNRESERVE, REFUND = "chaos.unreserve", "chaos.refund"
PING, PONG = "chaos.ping", "chaos.pong"
"""They follow from each other for ever."""
WRITTEN = "chaos.written"
"""The step `WRITING` of a saga tells it."""
WRITING = "write"
MAX_HOPS = 6
"""More than a case has."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Who handles the events of a topic."""

    name: str
    hears: str
    tells: str = ""
    """The topic of what it publishes then."""
    undoes: str = ""
    """The topic of what it takes back."""
    outside: bool = False
    """Whether it asks the world, outside of any transaction; others write a row here."""


PARTS = (
    Part(name="reserve", hears=ORDERED, tells=RESERVED),
    Part(name="charge", hears=RESERVED, tells=CHARGED, outside=True),
    Part(name="note", hears=RESERVED),
    Part(name="close", hears=CHARGED, tells=CLOSED),
    Part(name="unreserve", hears=UNRESERVE, undoes=RESERVED),
    Part(name="refund", hears=REFUND, undoes=CHARGED, outside=True),
    Part(name="ping", hears=PING, tells=PONG),
    Part(name="pong", hears=PONG, tells=PING),
    Part(name="audit", hears=WRITTEN),
)
BY_NAME = {part.name: part for part in PARTS}
UNDOING = {part.undoes: part.hears for part in PARTS if part.undoes}
"""By which topic what was told is taken back."""
