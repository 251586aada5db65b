"""Hand-made books of events: some that are right, and for each rule some that break it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.chaos.event_books import Case, Delivered, Effect, EventBooks, Published
from tests.chaos.ledger import Kind, Line, Service
from tests.chaos.parts import CHARGED, CLOSED, MAX_HOPS, ORDERED, PING, REFUND, RESERVED, UNRESERVE, WRITTEN

KEY = "a key"


def event(number: int, topic: str, cause: str = "", **fields: Any) -> Published:
    known: dict[str, Any] = {"number": number, "id": topic, "case": "a case", "seq": number, "at": number}
    return Published(**known | {"topic": topic, "key": KEY, "cause": cause} | fields)


def back(number: int, topic: str, undoes: str) -> Published:
    return event(number, topic, undoes, undoes=undoes, is_way_back=True)


def brought(event: str, subscriber: str, status: str = "done", **fields: Any) -> Delivered:
    return Delivered(**{"event": event, "subscriber": subscriber, "status": status} | fields)


def closed(event: str, subscriber: str) -> Delivered:
    return brought(event, subscriber, "resolved", error_class="CaseClosed", resolved_at=99.0)


def did(event: str, subscriber: str, at: float, told: str = "") -> Effect:
    return Effect(event=event, subscriber=subscriber, at=at, told=told)


def line(kind: Kind, event: str, step: str, at: float, **fields: Any) -> Line:
    seen = {"status": "due", "tries": 1, "attempts": 1}
    known: dict[str, Any] = {"kind": kind, "event": event, "step": step, "at": at, "attempt": 1, "seen": seen}
    return Line(**known | {"saga": "a case", "service": Service.SMART} | fields)


COMPLETED = EventBooks(
    published=[
        event(1, ORDERED),
        event(2, RESERVED, ORDERED, hops=1),
        event(3, CHARGED, RESERVED, hops=2),
        event(4, CLOSED, CHARGED, hops=3),
    ],
    deliveries=[
        brought(ORDERED, "reserve"),
        brought(RESERVED, "charge"),
        brought(RESERVED, "note"),
        brought(CHARGED, "close"),
    ],
    handled=[
        did(ORDERED, "reserve", 1.5, RESERVED),
        did(RESERVED, "note", 2.4),
        did(CHARGED, "close", 3.5, CLOSED),
    ],
    lines=[line(Kind.ASKED, RESERVED, "charge", 2.5), line(Kind.DONE, RESERVED, "charge", 2.6)],
    cases=[Case(id="a case", status="completed")],
    asked=frozenset([ORDERED]),
    answered=frozenset([ORDERED]),
)
UNDONE = replace(
    COMPLETED,
    published=[*COMPLETED.published[:3], back(5, REFUND, CHARGED), back(6, UNRESERVE, RESERVED)],
    deliveries=[
        *COMPLETED.deliveries[:3],
        closed(CHARGED, "close"),
        brought(REFUND, "refund", ended_at=5.5),
        brought(UNRESERVE, "unreserve", ended_at=6.5),
    ],
    handled=[*COMPLETED.handled[:2], did(UNRESERVE, "unreserve", 6.4)],
    lines=[*COMPLETED.lines, line(Kind.UNDONE, REFUND, "refund", 5.4)],
    cases=[Case(id="a case", status="compensated")],
)
TWO = replace(  # Two that are heard by one, under one key.
    COMPLETED,
    published=[event(1, WRITTEN, id="1"), event(2, WRITTEN, id="2")],
    deliveries=[brought("1", "audit"), brought("2", "audit")],
    handled=[did("1", "audit", 1.5), did("2", "audit", 2.5)],
    lines=[],
    cases=[],
    asked=frozenset("12"),
    answered=frozenset("12"),
)
CIRCLE = replace(
    TWO,
    published=[event(1, PING, id="1", hops=MAX_HOPS + 1)],
    deliveries=[
        brought("1", "ping", "resolved", error_class="TooManyHops", error="pong → ping", resolved_at=9.0)
    ],
    handled=[],
    asked=frozenset("1"),
    answered=frozenset("1"),
)


def with_delivery(books: EventBooks, changed: Delivered) -> EventBooks:
    left = [
        each
        for each in books.deliveries
        if (each.event, each.subscriber) != (changed.event, changed.subscriber)
    ]
    return replace(books, deliveries=[*left, changed])


RIGHT = {
    "completed": COMPLETED,
    "undone": UNDONE,
    "two under one key": TWO,
    "a circle that was cut": CIRCLE,
    "a call whose count began anew": replace(
        with_delivery(COMPLETED, brought(RESERVED, "charge", requeued=1)),
        lines=[*COMPLETED.lines, line(Kind.ASKED, RESERVED, "charge", 2.7, attempt=3)],
    ),
    "a call that came when the database was away": replace(
        COMPLETED, lines=[line(Kind.ASKED, RESERVED, "charge", 2.5, seen=None), *COMPLETED.lines[1:]]
    ),
}

WRONG = {
    # The rule that is broken, and books that break it.
    "a row without its event": (
        "I28 told with what they tell of",
        replace(COMPLETED, published=COMPLETED.published[:3]),
    ),
    "an event without its row": (
        "I28 told with what they tell of",
        replace(COMPLETED, handled=COMPLETED.handled[1:]),
    ),
    "told twice": (
        "I28 told with what they tell of",
        replace(COMPLETED, published=[*COMPLETED.published, event(5, CLOSED, CHARGED, id="again")]),
    ),
    "a step's row without its event": (
        "I28 told with what they tell of",
        replace(TWO, written={"a saga": 1}),
    ),
    "an answer for nothing": (
        "I26 an event that was answered exists",
        replace(COMPLETED, answered=frozenset([ORDERED, "lost"])),
    ),
    "an event of nobody's": (
        "I26 an event that was answered exists",
        replace(COMPLETED, asked=frozenset(), answered=frozenset()),
    ),
    "a subscriber that never heard of it": (
        "I29 every event reaches whom it is for",
        replace(
            COMPLETED,
            deliveries=[each for each in COMPLETED.deliveries if each.subscriber != "note"],
            handled=[each for each in COMPLETED.handled if each.subscriber != "note"],
        ),
    ),
    "one that still waits": (
        "I29 every event reaches whom it is for",
        with_delivery(COMPLETED, brought(RESERVED, "note", "due")),
    ),
    "a delivery of nothing": (
        "I29 every event reaches whom it is for",
        with_delivery(COMPLETED, brought("nothing", "note", "dead")),
    ),
    "an effect twice": (
        "I29 handled once",
        replace(COMPLETED, handled=[*COMPLETED.handled, did(RESERVED, "note", 2.5)]),
    ),
    "an effect outside twice": (
        "I29 handled once",
        replace(COMPLETED, lines=[*COMPLETED.lines, line(Kind.DONE, RESERVED, "charge", 2.7)]),
    ),
    "an effect without its record": (
        "I29 handled once",
        with_delivery(COMPLETED, brought(RESERVED, "note", "resolved", resolved_at=9.0)),
    ),
    "a record without its effect": (
        "I29 handled once",
        replace(COMPLETED, handled=[each for each in COMPLETED.handled if each.subscriber != "note"]),
    ),
    "a call that was not counted": (
        "R3 calls are counted before they are made",
        replace(COMPLETED, lines=[*COMPLETED.lines, line(Kind.ASKED, RESERVED, "charge", 2.7, attempt=2)]),
    ),
    "one number twice": (
        "I30 numbered in order",
        replace(TWO, published=[TWO.published[0], replace(TWO.published[1], seq=1)]),
    ),
    "the second before the first": (
        "I30 in the order of their keys",
        replace(TWO, handled=[did("2", "audit", 1.5), did("1", "audit", 2.5)]),
    ),
    "one that went past a dead letter": (
        "I31 a dead letter holds up its key",
        replace(with_delivery(TWO, closed("1", "audit")), handled=TWO.handled[1:]),
    ),
    "a letter that nobody resolved": (
        "I31 a dead letter holds up its key",
        replace(with_delivery(TWO, brought("1", "audit", "resolved")), handled=TWO.handled[1:]),
    ),
    "a circle that goes on": (
        "I32 circles end",
        replace(CIRCLE, published=[replace(CIRCLE.published[0], hops=MAX_HOPS + 2)]),
    ),
    "one too many was handled": ("I32 circles end", with_delivery(CIRCLE, brought("1", "ping"))),
    "no chain is told": (
        "I32 circles end",
        with_delivery(CIRCLE, replace(CIRCLE.deliveries[0], error="too many")),
    ),
    "one that was forgotten": ("I33 nothing is forgotten", replace(COMPLETED, forgotten=[ORDERED])),
    "one handled when the case was closed": (
        "24 a closed case goes no further",
        replace(UNDONE, handled=[*UNDONE.handled, did(CHARGED, "close", 5.1)]),
    ),
    "one published when the case was closed": (
        "24 a closed case goes no further",
        replace(UNDONE, published=[*UNDONE.published, event(7, CLOSED, CHARGED)]),
    ),
    "undone in the wrong order": (
        "24 undone one at a time",
        replace(
            UNDONE,
            published=[*UNDONE.published[:3], back(5, UNRESERVE, RESERVED), back(6, REFUND, CHARGED)],
        ),
    ),
    "the next before the last was done": (
        "24 undone one at a time",
        with_delivery(UNDONE, brought(REFUND, "refund", ended_at=6.1)),
    ),
    "a case that never ended": (
        "I16 cases come to their ends",
        replace(COMPLETED, cases=[Case(id="a case", status="running")]),
    ),
    "completed without its last event": (
        "I16 cases come to their ends",
        replace(COMPLETED, published=COMPLETED.published[:3]),
    ),
    "compensated, and an event stands": (
        "I16 cases come to their ends",
        replace(UNDONE, published=UNDONE.published[:4]),
    ),
    "an effect that stands outside": (
        "I10 nothing stands outside",
        replace(UNDONE, lines=UNDONE.lines[:2]),
    ),
}
