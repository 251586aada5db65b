"""What must hold of every saga, whatever went wrong: one function for each rule, which tells what is wrong.

Pure: hand-made books show that each rule finds what it is there for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from tests.chaos import attempt_rules, course_rules, effect_rules, event_rules
from tests.chaos.books import Books
from tests.chaos.event_books import EventBooks
from tests.chaos.ledger import Kind, Line

Rule: TypeAlias = Callable[[Books], Iterator[str]]
EventRule: TypeAlias = Callable[[EventBooks], event_rules.Wrongs]

RULES: Mapping[str, Rule] = {
    "I1 effects are the definition's": effect_rules.effects_are_declared,
    "I2 effects happen once": effect_rules.effects_happen_once,
    "I3 one key": attempt_rules.one_key,
    "I4 predecessors come first": effect_rules.predecessors_come_first,
    "I17 results stay": attempt_rules.results_stay,
    "R3 marked before sent": attempt_rules.marked_before_sent,
    "I20 attempts are counted": attempt_rules.attempts_are_sent_once,
    "I19 only the last attempt counts": attempt_rules.only_the_last_attempt_counts,
    "I5 nothing lands after its undo": effect_rules.nothing_lands_after_its_undo,
    "I6 no way back past the pivot": effect_rules.no_way_back_past_the_pivot,
    "I7 only what may have happened is undone": effect_rules.only_what_may_have_happened_is_undone,
    "I8 undone in reverse": effect_rules.undone_in_reverse,
    "I9 completed": effect_rules.completed_means_all_done,
    "I10 compensated": effect_rules.compensated_means_nothing_stands,
    "I13 history is a chain": course_rules.history_is_a_chain,
    "I18 the fence rises": course_rules.the_fence_rises,
    "I16 it came to rest": course_rules.it_came_to_rest,
    "I36 wishes are honoured": course_rules.wishes_are_honoured,
    "E14 parts end with the whole": course_rules.parts_end_with_the_whole,
    "I34 acts are recorded once": course_rules.acts_are_recorded_once,
}

EVENT_RULES: Mapping[str, EventRule] = {
    "I28 told with what they tell of": event_rules.told_with_what_they_tell_of,
    "I26 an event that was answered exists": event_rules.what_was_answered_is_there,
    "I29 every event reaches whom it is for": event_rules.each_reaches_whom_it_is_for,
    "I29 handled once": event_rules.handled_once,
    "R3 calls are counted before they are made": event_rules.calls_are_counted_before_they_are_made,
    "I30 numbered in order": event_rules.numbered_in_order,
    "I30 in the order of their keys": event_rules.in_the_order_of_their_keys,
    "I31 a dead letter holds up its key": event_rules.dead_letters_hold_up_their_keys,
    "I32 circles end": event_rules.circles_end,
    "I33 nothing is forgotten": event_rules.nothing_is_forgotten,
    "24 a closed case goes no further": event_rules.a_closed_case_goes_no_further,
    "24 undone one at a time": event_rules.undone_one_at_a_time,
    "I16 cases come to their ends": event_rules.cases_come_to_their_ends,
    "I10 nothing stands outside": event_rules.nothing_stands_outside,
}


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


def event_violations_of(books: EventBooks) -> Iterator[Violation]:
    """Return where a rule of events does not hold."""
    for name, rule in EVENT_RULES.items():
        for case, what in rule(books):
            yield Violation(name, case, what)
