"""The checker finds in hand-made books what breaks a rule, and nothing in those that are right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos import handmade_events
from tests.chaos.books import Books
from tests.chaos.checker import EVENT_RULES, RULES, crossings, event_violations_of, violations_of
from tests.chaos.handmade import COMPLETED, RIGHT, SAGA, WRONG, done
from tests.chaos.observer import Observer


@pytest.mark.parametrize("books", RIGHT.values(), ids=RIGHT)
def test_books_that_are_right_break_no_rule(books):
    assert list(violations_of(books)) == []


@pytest.mark.parametrize(("rule", "books"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found(rule, books):
    assert rule in {violation.rule.partition(" ")[0] for violation in violations_of(books)}


@pytest.mark.parametrize("books", handmade_events.RIGHT.values(), ids=handmade_events.RIGHT)
def test_books_of_events_that_are_right_break_no_rule(books):
    assert list(event_violations_of(books)) == []


@pytest.mark.parametrize(("rule", "books"), handmade_events.WRONG.values(), ids=list(handmade_events.WRONG))
def test_what_is_wrong_with_events_is_found(rule, books):
    assert rule in {violation.rule for violation in event_violations_of(books)}


def at_work(saga: str, *times: float, purse: str = "1") -> Books:
    lines = [done(step, at=at) for step, at in zip("abcd", times, strict=False)]
    return replace(COMPLETED, id=saga, purse=purse, lines=lines)


def test_sagas_that_should_keep_apart_and_do_not_are_found():
    found = crossings([at_work("one", 1, 4), at_work("two", 2, 5)])
    assert {violation.saga for violation in found} == {"one", "two"}


def test_sagas_that_keep_apart_are_left_alone():
    apart = [at_work("one", 1, 4), at_work("two", 5, 6), at_work("three", 2, 3, purse="2")]
    assert list(crossings(apart)) == []


def test_every_rule_has_books_that_break_it():
    assert {name.partition(" ")[0] for name in RULES} == {rule for rule, _books in WRONG.values()}
    assert set(EVENT_RULES) == {rule for rule, _books in handmade_events.WRONG.values()}


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (("compensated", 1, 5, True), ("completed", 1, 6, True), "it had ended as compensated"),
        (("completed", 1, 5), ("compensating", 1, 6), "it had ended as completed"),
        (("running", 3, 5), ("running", 2, 5), "its fence fell"),
        (("running", 3, 5), ("running", 3, 4), "its revision fell"),
        (("running", 3, 5), None, "it is gone"),
    ],
)
def test_the_observer_sees_what_changes_and_must_not(before, now, told):
    observer = Observer("nowhere")
    observer.compare([(SAGA, *before)])

    observer.compare([(SAGA, *now)] if now else [])

    [violation] = observer.violations
    assert told in violation.what


def test_the_observer_says_nothing_of_what_may_change():
    observer = Observer("nowhere")
    for seen in (("pending", 0, 0), ("running", 1, 1), ("completed", 1, 2), ("completed", 1, 2)):
        observer.compare([(SAGA, *seen, False), ("a part", *seen, True)])
    observer.compare([("a part", "compensating", 1, 3, True), (SAGA, "completed", 1, 2, False)])
    assert observer.violations == []
