"""What must hold of a saga's course: its history, its owners, what was asked of it, and its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from sagas.states import TERMINAL
from tests.chaos.books import Books
from tests.chaos.ledger import Kind

CLIENT = "client"
"""The user by whose name clients act."""
TRANSITIONS = {
    "pending": {"running", "compensating", "suspended", "abandoned"},
    "running": {"completed", "compensating", "failed", "suspended", "abandoned"},
    "compensating": {"compensated", "failed", "suspended", "abandoned"},
    "suspended": {"pending", "running", "compensating", "abandoned"},
    "failed": {"pending", "running", "compensating", "abandoned"},
}
UNDONE_PARTS = {"completed": {"compensating"}}
"""What only a saga does that is a part of another."""


def history_is_a_chain(books: Books) -> Iterator[str]:
    status = "pending"
    transitions = TRANSITIONS | (UNDONE_PARTS if books.is_child else {})
    for entry in books.history:
        if not entry.to_status or entry.to_status == entry.from_status:
            continue
        if entry.from_status != status:
            yield f"its history goes on from {entry.from_status} where it was {status}"
        if entry.to_status not in transitions.get(entry.from_status, set()):
            yield f"it went from {entry.from_status} to {entry.to_status}"
        status = entry.to_status
    if status != books.status:
        yield f"its history ends as {status}, and it is {books.status}"


def the_fence_rises(books: Books) -> Iterator[str]:
    fences = [entry.data["fence"] for entry in books.history if entry.kind == "take_over"]
    for before, after in pairwise(fences):
        if after <= before:
            yield f"it was taken over under the fences {before} and then {after}"
    was_claimed = bool(books.of_kind(Kind.ASKED))
    if books.fence < len(fences) + was_claimed:
        yield f"its fence is {books.fence} after {len(fences)} take-overs"
    seen = [line.seen["fence"] for line in books.of_kind(Kind.ASKED) if line.seen]
    for before, after in pairwise(seen):
        if after < before:
            yield f"its fence fell from {before} to {after}"


def it_came_to_rest(books: Books) -> Iterator[str]:
    if books.status not in TERMINAL:
        yield f"it is {books.status} ({books.attention or 'for no reason given'}) when all is over"


def wishes_are_honoured(books: Books) -> Iterator[str]:
    if books.status in TERMINAL:
        yield from (f"it has ended, and nobody has acted on {wish}" for wish in books.open_wishes)
    if "cancel" in books.accepted and books.status == "completed":
        overtaken = any(
            entry.kind == "refusal" and entry.operation == "compensate" for entry in books.history
        )
        if not overtaken:
            yield "a cancel was accepted, and it completed without a word"


def parts_end_with_the_whole(books: Books) -> Iterator[str]:
    for status in books.children:
        if books.status == "completed" and status != "completed":
            yield f"it is completed, and its part is {status}"
        if books.status == "compensated" and status not in ("compensated", "abandoned"):
            yield f"it is compensated, and its part is {status}"


def acts_are_recorded_once(books: Books) -> Iterator[str]:
    told = Counter("compensate" if name == "cancel" else name for name in books.accepted)
    uncertain = Counter("compensate" if name == "cancel" else name for name in books.uncertain)
    recorded = Counter(
        entry.operation for entry in books.history if entry.kind == "act" and entry.actor == CLIENT
    )
    for name in told.keys() | recorded.keys():
        if not told[name] <= recorded[name] <= told[name] + uncertain[name]:
            yield f"{name} was accepted {told[name]} times, and recorded {recorded[name]} times"
