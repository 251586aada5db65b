"""Whether a run has met what it was made for: one in which nothing happened proves nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.chaos.books import Books
from tests.chaos.event_books import EventBooks
from tests.chaos.event_load import ToldOfEvents
from tests.chaos.ledger import Kind
from tests.chaos.profiles import Profile

STARTED = 0.95
"""Of the starts that were planned, at least this share has to succeed."""
EACH_END = 0.05
"""Of the sagas, at least this share has to end in each of the ways in which sagas end by themselves."""
LATE = ("dawdle", "hang")
"""The fates in which a handler comes back when it was given up."""
REPLACED = ("it is killed and replaced", "ended by itself; another is started")


def unmet_gates(
    profile: Profile, books: Sequence[Books], happened: Counter[str], met: Counter[str]
) -> Iterator[str]:
    """Return what did not happen often enough."""
    started = sum(not each.is_child for each in books)
    wanted = {"started": int(profile.sagas * STARTED)}
    had = Counter({"started": started}) + met
    for end in ("completed", "compensated"):
        wanted[end] = int(started * EACH_END) + 1
        had[end] = sum(each.status == end for each in books if not each.is_child)
    wanted["faults"], had["faults"] = profile.gates.faults, happened.total()
    for kind in profile.faults:
        wanted[kind] = profile.gates.each_fault
        had[kind] = happened[kind]
    for name in ("take_overs", "replays", "evidence", "replaced", *OF_EVENTS):
        wanted[name] = getattr(profile.gates, name)
    for way in WAYS:
        wanted[way] = profile.gates.unknown
    for name, least in wanted.items():
        if had[name] < least:
            yield f"{name}: {had[name]}, and at least {least} are needed"


WAYS = ("unknown, asked again", "unknown, probed", "unknown, undone", "unknown, resolved by a person")
"""How outcomes that nobody knew were settled."""

OF_EVENTS = ("events", "doubles", "letters", "handlers_killed", "overtaken", "circles", "undone")


def event_figures(books: EventBooks, told: ToldOfEvents) -> Counter[str]:
    """Count what the events of the run have met."""
    calls = Counter((line.step, line.event) for line in books.lines if line.kind is Kind.ASKED)
    return Counter(
        events=len(books.published),
        calls=calls.total(),
        doubles=told.doubles,
        letters=sum(delivery.requeued for delivery in books.deliveries),
        handlers_killed=sum(delivery.crashes for delivery in books.deliveries),
        overtaken=sum(
            line.kind is Kind.ASKED and line.fate in LATE and calls[line.step, line.event] > 1
            for line in books.lines
        ),
        circles=sum(delivery.error_class == "TooManyHops" for delivery in books.deliveries),
        undone=sum(case.status == "compensated" for case in books.cases if case.id in told.undone),
    )


def figures(books: Sequence[Books], logs: Sequence[Path]) -> Counter[str]:
    """Count what the run has met."""
    found: Counter[str] = Counter()
    for each in books:
        found["take_overs"] += sum(entry.kind == "take_over" for entry in each.history)
        found["evidence"] += sum(entry.kind == "evidence" for entry in each.history)
        again = {line.step for line in each.of_kind(Kind.AGAIN)}
        found["replays"] += len(each.of_kind(Kind.AGAIN, Kind.BARRED))
        found["asked"] += len(each.of_kind(Kind.ASKED))
        for step in each.steps:
            result = step.result or {}
            found[WAYS[0]] += step.name in again and "attempt" in result
            found[WAYS[1]] += "probed" in result
            found[WAYS[2]] += step.status == "compensated" and step.result is None
        found[WAYS[3]] += sum(entry.operation == "resolve" for entry in each.history if entry.kind == "act")
    for log in logs:
        found["replaced"] += sum(
            any(said in line for said in REPLACED) for line in log.open(errors="replace")
        )
    return found
