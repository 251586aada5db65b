"""What must hold of effects: which there are, how often, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.chaos.books import Books
from tests.chaos.ledger import Kind, Line


def effects_are_declared(books: Books) -> Iterator[str]:
    for step in sorted({line.step for line in books.lines} - set(books.declared_by_name)):
        yield f"{step} took effect, and {books.definition} has no such step"


def effects_happen_once(books: Books) -> Iterator[str]:
    for kind in (Kind.DONE, Kind.UNDONE):
        counted = Counter(line.step for line in books.of_kind(kind) if not books.is_beyond(line))
        yield from (f"{step} was {kind} {times} times" for step, times in counted.items() if times > 1)


def predecessors_come_first(books: Books) -> Iterator[str]:
    done: set[str] = set()
    for line in books.of_kind(Kind.DONE):
        stage = _stage(books, line)
        missing = [
            each.name
            for each in books.declared
            if each.service is not None and each.stage < stage and each.name not in done
        ]
        if missing:
            yield f"{line.step} took effect before {', '.join(missing)}"
        done.add(line.step)


def nothing_lands_after_its_undo(books: Books) -> Iterator[str]:
    reached: int | None = None
    settled: set[str] = set()
    for line in books.of_kind(Kind.DONE, Kind.UNDONE, Kind.EMPTY):
        stage = _stage(books, line)
        if line.kind is not Kind.DONE:
            settled.add(line.step)
            reached = stage if reached is None else min(reached, stage)
        elif not books.is_beyond(line) and (
            line.step in settled or (reached is not None and stage > reached)
        ):
            yield f"{line.step} took effect after the way back had passed it"


def no_way_back_past_the_pivot(books: Books) -> Iterator[str]:
    passed: int | None = None
    for line in books.of_kind(Kind.DONE, Kind.UNDONE, Kind.EMPTY):
        if line.kind is Kind.DONE and line.step in books.declared_by_name:
            if books.declared_by_name[line.step].pivot:
                passed = _stage(books, line)
        elif line.kind is not Kind.DONE and passed is not None and _stage(books, line) <= passed:
            yield f"{line.step} was undone past the pivot"


def only_what_may_have_happened_is_undone(books: Books) -> Iterator[str]:
    done: set[str] = set()
    for line in books.lines:
        if line.kind is Kind.DONE:
            done.add(line.step)
        elif line.kind is Kind.UNDONE and line.step not in done:
            yield f"{line.step} was undone before it was done"
        elif line.kind is Kind.ASKED and line.way == "back":
            row, declared = books.row.get(line.step), books.declared_by_name.get(line.step)
            if row is not None and row.attempts == 0:
                yield f"{line.step} was asked to be undone, and was never begun"
            if declared is not None and not declared.undoable:
                yield f"{line.step} was asked to be undone, and cannot be"


def undone_in_reverse(books: Books) -> Iterator[str]:
    standing: dict[str, int] = {}
    for line in books.of_kind(Kind.DONE, Kind.UNDONE):
        stage = _stage(books, line)
        if line.kind is Kind.DONE:
            if not books.is_beyond(line):
                standing[line.step] = stage
            continue
        standing.pop(line.step, None)
        later = [step for step, of in standing.items() if of > stage]
        if later:
            yield f"{line.step} was undone while {', '.join(later)} stood"


def completed_means_all_done(books: Books) -> Iterator[str]:
    if books.status != "completed":
        return
    done = {line.step for line in books.of_kind(Kind.DONE)}
    for each in books.declared:
        if each.service is not None and each.name not in done:
            yield f"it is completed, and {each.name} never took effect"
    for line in books.of_kind(Kind.UNDONE):
        yield f"it is completed, and {line.step} was undone"


def compensated_means_nothing_stands(books: Books) -> Iterator[str]:
    if books.status != "compensated":
        return
    balance: Counter[str] = Counter()
    for line in books.of_kind(Kind.DONE, Kind.UNDONE):
        if not books.is_beyond(line):
            balance[line.step] += 1 if line.kind is Kind.DONE else -1
    for step, left in balance.items():
        if left > 0:
            yield f"it is compensated, and {step} stands"
        elif left < 0:
            yield f"it is compensated, and {step} was undone more often than done"


def _stage(books: Books, line: Line) -> int:
    declared = books.declared_by_name.get(line.step)
    return -1 if declared is None else declared.stage
