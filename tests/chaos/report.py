"""What a run came to, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.chaos.books import Books
from tests.chaos.event_books import EventBooks
from tests.chaos.event_plans import PlannedCase
from tests.chaos.plans import Planned


def timeline(books: Books, planned: Planned | None, faults: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Tell all that happened to a saga, and to the processes meanwhile, in one order."""
    if planned is not None:
        yield f"  planned: {planned}"
    yield f"  it is {books.status} {books.attention}, under fence {books.fence}"
    for step in books.steps:
        yield f"  {step}"
    moments = [(entry.at, f"history {_told(entry)}") for entry in books.history]
    moments += [(line.at, f"world {_told(line)}") for line in books.lines]
    yield from _in_order(moments, faults)


def case_timeline(
    case: str, books: EventBooks, planned: PlannedCase | None, faults: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """Tell all that happened to a case, and to the processes meanwhile, in one order."""
    if planned is not None:
        yield f"  planned: {planned}"
    yield from (f"  {each}" for each in books.cases if each.id == case)
    events = books.by_case.get(case, [])
    ours = {event.id for event in events}
    yield from (f"  {each}" for each in books.deliveries if each.event in ours)
    moments = [(event.at, f"published {_told(event)}") for event in events]
    moments += [(effect.at, f"handled {_told(effect)}") for effect in books.handled if effect.event in ours]
    moments += [(line.at, f"world {_told(line)}") for line in books.lines if line.event in ours]
    yield from _in_order(moments, faults)


def _in_order(moments: list[tuple[float, str]], faults: Sequence[dict[str, Any]]) -> Iterator[str]:
    if moments:
        first, last = min(moments)[0], max(moments)[0]
        moments += [
            (fault["at"], f"FAULT {fault['fault']}: {fault['victim']}")
            for fault in faults
            if first - 5 <= fault["at"] <= last
        ]
    for at, what in sorted(moments):
        yield f"  {datetime.fromtimestamp(at, UTC):%H:%M:%S.%f} {what}"


def _told(row: Any) -> str:
    left_out = ("at", "saga", "results", "service")
    return " ".join(f"{name}={value}" for name, value in vars(row).items() if value and name not in left_out)
