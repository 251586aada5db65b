"""What must hold of every saga, whatever went wrong: one function for each rule, which tells what is wrong.

Pure: hand-made books show that each rule finds what it is there for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from sagas.states import TERMINAL, StepStatus
from tests.chaos.books import Books
from tests.chaos.ledger import Kind, Line

Rule: TypeAlias = Callable[[Books], Iterator[str]]

TRANSITIONS = {
    "pending": {"running", "compensating", "suspended", "abandoned"},
    "running": {"completed", "compensating", "failed", "suspended", "abandoned"},
    "compensating": {"compensated", "failed", "suspended", "abandoned"},
    "suspended": {"running", "compensating", "abandoned"},
    "failed": {"running", "compensating", "abandoned"},
}
UNDONE_PARTS = {"completed": {"compensating"}}
"""What only a saga does that is a part of another."""
PRESENT = {StepStatus.COMPLETED, StepStatus.COMPENSATING, StepStatus.COMPENSATED}


@dataclass(frozen=True)
class Violation:
    """A rule that did not hold."""

    rule: str
    saga: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: saga {self.saga}: {self.what}"


def crossings(all_books: Iterable[Books]) -> Iterator[Violation]:
    """Return where two sagas were at work on what each was to have for itself."""
    by_purse: dict[str, list[tuple[Line, Books]]] = defaultdict(list)
    for books in all_books:
        if books.purse:
            by_purse[books.purse] += [(line, books) for line in books.of_kind(Kind.DONE, Kind.UNDONE)]
    for purse, found in by_purse.items():
        gone: set[str] = set()
        found.sort(key=lambda each: each[0].at)
        for (_, before), (line, books) in pairwise(found):
            if before.id != books.id:
                gone.add(before.id)
            if books.id in gone and not books.is_beyond(line):
                what = f"{line.step} took effect on purse {purse} after another saga had begun with it"
                yield Violation("E20 locks keep apart", books.id, what)


def violations_of(books: Books) -> Iterator[Violation]:
    """Return every rule that this saga breaks."""
    for name, rule in RULES.items():
        for what in rule(books):
            yield Violation(name, books.id, what)


def _effects_are_declared(books: Books) -> Iterator[str]:
    for step in sorted({line.step for line in books.lines} - set(books.declared_by_name)):
        yield f"{step} took effect, and {books.definition} has no such step"


def _effects_happen_once(books: Books) -> Iterator[str]:
    for kind in (Kind.DONE, Kind.UNDONE):
        counted = Counter(line.step for line in books.of_kind(kind) if not books.is_beyond(line))
        yield from (f"{step} was {kind} {times} times" for step, times in counted.items() if times > 1)


def _one_key(books: Books) -> Iterator[str]:
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in books.of_kind(Kind.ASKED):
        keys[line.step, line.way].add(line.key)
    for (step, way), found in keys.items():
        row = books.row.get(step)
        stored = row and (row.idempotency_key if way == "forward" else row.undo_key)
        if found != {stored}:
            yield f"{step} ({way}) was asked for under {sorted(found)}, and its key is {stored}"


def _predecessors_come_first(books: Books) -> Iterator[str]:
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


def _results_stay(books: Books) -> Iterator[str]:
    for line in books.of_kind(Kind.ASKED):
        for name, result in line.results.items():
            if line.way == "forward" and name in books.row and books.row[name].result != result:
                yield (
                    f"attempt {line.attempt} of {line.step} was given {result} as the result of {name}, "
                    f"which is stored as {books.row[name].result}"
                )


def _marked_before_sent(books: Books) -> Iterator[str]:
    for line in books.of_kind(Kind.ASKED):
        if line.seen is None:
            continue
        marked = line.seen.get("attempts" if line.way == "forward" else "undo_attempts", 0)
        if marked < line.attempt or line.attempt < 1:
            yield f"attempt {line.attempt} of {line.step} ({line.way}) was sent when {marked} were marked"


def _attempts_are_sent_once(books: Books) -> Iterator[str]:
    sent = Counter((line.step, line.way, line.attempt) for line in books.of_kind(Kind.ASKED))
    for (step, way, attempt), times in sent.items():
        if times > 1:
            yield f"attempt {attempt} of {step} ({way}) was sent {times} times"
    for name, row in books.row.items():
        for way, counted in (("forward", row.attempts), ("back", row.undo_attempts)):
            numbers = [attempt for (step, each, attempt) in sent if (step, each) == (name, way)]
            if len(numbers) > counted:
                yield f"{len(numbers)} attempts of {name} ({way}) were sent, and {counted} counted"


def _only_the_last_attempt_counts(books: Books) -> Iterator[str]:
    for name, row in books.row.items():
        if row.status not in PRESENT or not row.result or "attempt" not in row.result:
            continue  # It waited, was probed, or a person said what came of it.
        if row.result["attempt"] != row.attempts:
            yield f"{name} has the result of attempt {row.result['attempt']}, and {row.attempts} were made"


def _nothing_lands_after_its_undo(books: Books) -> Iterator[str]:
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


def _no_way_back_past_the_pivot(books: Books) -> Iterator[str]:
    passed: int | None = None
    for line in books.of_kind(Kind.DONE, Kind.UNDONE, Kind.EMPTY):
        if line.kind is Kind.DONE and line.step in books.declared_by_name:
            if books.declared_by_name[line.step].pivot:
                passed = _stage(books, line)
        elif line.kind is not Kind.DONE and passed is not None and _stage(books, line) <= passed:
            yield f"{line.step} was undone past the pivot"


def _only_what_may_have_happened_is_undone(books: Books) -> Iterator[str]:
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


def _undone_in_reverse(books: Books) -> Iterator[str]:
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


def _completed_means_all_done(books: Books) -> Iterator[str]:
    if books.status != "completed":
        return
    done = {line.step for line in books.of_kind(Kind.DONE)}
    for each in books.declared:
        if each.service is not None and each.name not in done:
            yield f"it is completed, and {each.name} never took effect"
    for line in books.of_kind(Kind.UNDONE):
        yield f"it is completed, and {line.step} was undone"


def _compensated_means_nothing_stands(books: Books) -> Iterator[str]:
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


def _history_is_a_chain(books: Books) -> Iterator[str]:
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


def _the_fence_rises(books: Books) -> Iterator[str]:
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


def _it_came_to_rest(books: Books) -> Iterator[str]:
    if books.status not in TERMINAL:
        yield f"it is {books.status} ({books.attention or 'for no reason given'}) when all is over"


def _wishes_are_honoured(books: Books) -> Iterator[str]:
    if books.status in TERMINAL:
        yield from (f"it has ended, and nobody has acted on {wish}" for wish in books.open_wishes)
    if "cancel" in books.accepted and books.status == "completed":
        overtaken = any(
            entry.kind == "refusal" and entry.operation == "compensate" for entry in books.history
        )
        if not overtaken:
            yield "a cancel was accepted, and it completed without a word"


def _parts_end_with_the_whole(books: Books) -> Iterator[str]:
    for status in books.children:
        if books.status == "completed" and status != "completed":
            yield f"it is completed, and its part is {status}"
        if books.status == "compensated" and status not in ("compensated", "abandoned"):
            yield f"it is compensated, and its part is {status}"


def _acts_are_recorded_once(books: Books) -> Iterator[str]:
    told = Counter("compensate" if name == "cancel" else name for name in books.accepted)
    uncertain = Counter("compensate" if name == "cancel" else name for name in books.uncertain)
    recorded = Counter(
        entry.operation for entry in books.history if entry.kind == "act" and entry.actor == CLIENT
    )
    for name in told.keys() | recorded.keys():
        if not told[name] <= recorded[name] <= told[name] + uncertain[name]:
            yield f"{name} was accepted {told[name]} times, and recorded {recorded[name]} times"


def _stage(books: Books, line: Line) -> int:
    declared = books.declared_by_name.get(line.step)
    return -1 if declared is None else declared.stage


CLIENT = "client"
"""The user by whose name clients act."""

RULES: Mapping[str, Rule] = {
    "I1 effects are the definition's": _effects_are_declared,
    "I2 effects happen once": _effects_happen_once,
    "I3 one key": _one_key,
    "I4 predecessors come first": _predecessors_come_first,
    "I17 results stay": _results_stay,
    "R3 marked before sent": _marked_before_sent,
    "I20 attempts are counted": _attempts_are_sent_once,
    "I19 only the last attempt counts": _only_the_last_attempt_counts,
    "I5 nothing lands after its undo": _nothing_lands_after_its_undo,
    "I6 no way back past the pivot": _no_way_back_past_the_pivot,
    "I7 only what may have happened is undone": _only_what_may_have_happened_is_undone,
    "I8 undone in reverse": _undone_in_reverse,
    "I9 completed": _completed_means_all_done,
    "I10 compensated": _compensated_means_nothing_stands,
    "I13 history is a chain": _history_is_a_chain,
    "I18 the fence rises": _the_fence_rises,
    "I16 it came to rest": _it_came_to_rest,
    "I36 wishes are honoured": _wishes_are_honoured,
    "E14 parts end with the whole": _parts_end_with_the_whole,
    "I34 acts are recorded once": _acts_are_recorded_once,
}
