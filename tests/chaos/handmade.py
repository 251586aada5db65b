"""Hand-made books: some that are right, and for each rule some that break it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from tests.chaos.books import Books, Declared, HistoryRow, StepRow
from tests.chaos.course_rules import CLIENT
from tests.chaos.ledger import Kind, Line, Service

SAGA = "a saga"
DECLARED = (
    Declared(name="a", stage=0, service=Service.SMART),
    Declared(name="b", stage=1, service=Service.KEYED, lands_within=3),
    Declared(name="c", stage=1, service=Service.SMART),
    Declared(name="d", stage=2, service=Service.SMART),
)
WITH_PIVOT = (DECLARED[0], Declared(name="d", stage=2, service=Service.SMART, undoable=False, pivot=True))


def asked(step: str, way: str = "forward", **fields: Any) -> Line:
    marked = {"fence": 1, "attempts": 1, "undo_attempts": 1, "age": 0.1}
    known: dict[str, Any] = {"way": way, "key": key_of(step, way), "seen": marked}
    return line(Kind.ASKED, step, **known | fields)


def done(step: str, **fields: Any) -> Line:
    return line(Kind.DONE, step, **fields)


def undone(step: str, **fields: Any) -> Line:
    return line(Kind.UNDONE, step, **{"way": "back"} | fields)


def line(kind: Kind, step: str, **fields: Any) -> Line:
    services = {each.name: each.service for each in DECLARED}
    service = services.get(step) or Service.SMART
    known: dict[str, Any] = {"kind": kind, "saga": SAGA, "step": step, "service": service, "attempt": 1}
    return Line(**known | fields)


def key_of(step: str, way: str = "forward") -> str:
    return f"{step}:{way}"


def row(name: str, status: str = "completed", **fields: Any) -> StepRow:
    keys = {"idempotency_key": key_of(name), "undo_key": key_of(name, "back")}
    known: dict[str, Any] = {"name": name, "status": status, "undo_attempts": 1, "result": {"attempt": 1}}
    return StepRow(**known | keys | fields)


def moved(*statuses: str) -> list[HistoryRow]:
    return [
        HistoryRow(kind="status", from_status=before, to_status=after) for before, after in pairwise(statuses)
    ]


def both(step: str, way: str = "forward") -> list[Line]:
    return [asked(step, way), done(step) if way == "forward" else undone(step)]


COMPLETED = Books(
    id=SAGA,
    definition="a definition",
    status="completed",
    declared=DECLARED,
    steps=[row(name) for name in "abcd"],
    history=moved("pending", "running", "completed"),
    lines=[*both("a"), *both("b"), *both("c"), *both("d")],
)
COMPENSATED = replace(
    COMPLETED,
    status="compensated",
    steps=[*(row(name, "compensated") for name in "abc"), row("d", "failed", result=None)],
    history=moved("pending", "running", "compensating", "compensated"),
    lines=[
        *both("a"),
        *both("c"),
        *both("b"),
        asked("d"),
        *both("b", "back"),
        *both("c", "back"),
        *both("a", "back"),
    ],
)
PAST_PIVOT = replace(
    COMPLETED,
    declared=WITH_PIVOT,
    steps=[row("a"), row("d")],
    lines=[*both("a"), *both("d")],
)


def with_lines(books: Books, *lines: Line) -> Books:
    return replace(books, lines=[*books.lines, *lines])


def without(books: Books, *left_out: Line) -> Books:
    return replace(books, lines=[each for each in books.lines if each not in left_out])


def with_step(books: Books, changed: StepRow) -> Books:
    return replace(books, steps=[changed if step.name == changed.name else step for step in books.steps])


def taken_over(*fences: int) -> list[HistoryRow]:
    return [HistoryRow(kind="take_over", data={"fence": fence}) for fence in fences]


WRONG = {
    # The rule that is broken, and books that break it.
    "an effect of nobody's": ("I1", with_lines(COMPLETED, line(Kind.EMPTY, "z"))),
    "an effect twice": ("I2", with_lines(COMPLETED, done("d"))),
    "an undo twice": ("I2", with_lines(COMPENSATED, undone("a"))),
    "two keys": (
        "I3",
        with_lines(with_step(COMPLETED, row("d", attempts=2)), asked("d", attempt=2, key="d:2")),
    ),
    "another key than the row's": ("I3", with_step(COMPLETED, row("a", idempotency_key="other"))),
    "an effect before its predecessor's": (
        "I4",
        replace(COMPLETED, lines=[*both("b"), *both("a"), *both("c"), *both("d")]),
    ),
    "a result that changed": (
        "I17",
        replace(
            COMPLETED,
            lines=[*both("a"), *both("b"), *both("c"), asked("d", results={"a": {"attempt": 2}}), done("d")],
        ),
    ),
    "a call before its mark": (
        "R3",
        replace(
            COMPLETED,
            lines=[asked("a", seen={"fence": 1, "attempts": 0, "age": 0}), done("a"), *COMPLETED.lines[2:]],
        ),
    ),
    "a call of a saga that is not there": (
        "R3",
        replace(COMPLETED, lines=[asked("a", seen={}), done("a"), *COMPLETED.lines[2:]]),
    ),
    "an undo before its mark": (
        "R3",
        with_lines(
            without(COMPENSATED, asked("a", "back")),
            asked("a", "back", seen={"fence": 1, "attempts": 1, "undo_attempts": 0, "age": 0}),
        ),
    ),
    "an attempt sent twice": ("I20", with_lines(COMPLETED, asked("d"))),
    "the result of an earlier attempt": ("I19", with_step(COMPLETED, row("d", attempts=2))),
    "an effect after its undo": ("I5", with_lines(COMPENSATED, done("a"))),
    "an effect after its tombstone": (
        "I5",
        with_lines(with_step(COMPENSATED, row("d", "compensated")), line(Kind.EMPTY, "d"), done("d")),
    ),
    "an effect after an earlier step was undone": ("I5", with_lines(COMPENSATED, done("d"))),
    "an undo past the pivot": ("I6", with_lines(PAST_PIVOT, undone("a"))),
    "an undo of nothing": ("I7", with_lines(COMPENSATED, undone("d"))),
    "an undo of what was never begun": (
        "I7",
        with_lines(with_step(COMPENSATED, row("d", "pending", attempts=0, result=None)), asked("d", "back")),
    ),
    "an undo of what cannot be undone": ("I7", with_lines(PAST_PIVOT, asked("d", "back"))),
    "an undo in the wrong order": (
        "I8",
        replace(
            COMPENSATED,
            lines=[*COMPENSATED.lines[:7], *both("a", "back"), *both("b", "back"), *both("c", "back")],
        ),
    ),
    "completed without an effect": ("I9", without(COMPLETED, done("d"))),
    "completed with an undo": ("I9", with_lines(COMPLETED, undone("d"))),
    "compensated, and an effect stands": ("I10", without(COMPENSATED, undone("a"))),
    "compensated, and undone too often": ("I10", with_lines(COMPENSATED, undone("a"))),
    "a gap in the history": ("I13", replace(COMPLETED, history=moved("running", "completed"))),
    "a way there is not": (
        "I13",
        replace(COMPLETED, history=moved("pending", "compensating", "running", "completed")),
    ),
    "a history of another end": ("I13", replace(COMPLETED, history=moved("pending", "running"))),
    "a take-over under an old fence": (
        "I18",
        replace(COMPLETED, fence=5, history=[*COMPLETED.history, *taken_over(2, 2)]),
    ),
    "a claim without a fence": ("I18", replace(COMPLETED, fence=0)),
    "more take-overs than fences": (
        "I18",
        replace(COMPLETED, history=[*COMPLETED.history, *taken_over(1, 2)]),
    ),
    "a fence that fell": (
        "I18",
        replace(
            COMPLETED,
            lines=[asked("a", seen={"fence": 2, "attempts": 1, "age": 0}), done("a"), *COMPLETED.lines[2:]],
        ),
    ),
    "a saga that never ended": (
        "I16",
        replace(COMPLETED, status="running", history=moved("pending", "running")),
    ),
    "a wish nobody acted on": ("I36", replace(COMPLETED, open_wishes=["suspend"])),
    "a cancel that was lost": ("I36", replace(COMPLETED, accepted=["cancel"])),
    "a part that stands": ("E14", replace(COMPENSATED, children=["completed"])),
    "a part that is missing": ("E14", replace(COMPLETED, children=["compensated"])),
    "an act without a record": ("I34", replace(COMPENSATED, accepted=["retry"])),
    "an act recorded twice": (
        "I34",
        replace(
            COMPENSATED,
            accepted=["retry"],
            history=[*COMPENSATED.history, *2 * [HistoryRow(kind="act", actor=CLIENT, operation="retry")]],
        ),
    ),
}

RIGHT = {
    "completed": COMPLETED,
    "compensated": COMPENSATED,
    "past the pivot": PAST_PIVOT,
    "siblings in any order": replace(COMPLETED, lines=[*both("a"), *both("c"), *both("b"), *both("d")]),
    "an attempt given up, and another": replace(
        with_step(COMPLETED, row("d", attempts=2, result={"attempt": 2})),
        lines=[
            *COMPLETED.lines[:-1],
            done("d"),
            asked("d", attempt=2, seen={"fence": 2, "attempts": 2, "age": 0}),
            line(Kind.AGAIN, "d", attempt=2),
        ],
    ),
    "a request that came when the database was away": replace(
        COMPLETED, lines=[asked("a", seen=None), done("a"), *COMPLETED.lines[2:]]
    ),
    "an effect later than its service says it can be": with_lines(
        with_step(COMPENSATED, row("b", "compensated", attempts=2, result={"attempt": 2})),
        asked("b", attempt=2, at=10, seen={"fence": 1, "attempts": 2, "undo_attempts": 1, "age": 9.0}),
        done("b", attempt=2, at=10),
    ),
    "a pivot later than its service says it can be": replace(
        PAST_PIVOT,
        status="compensated",
        steps=[row("a", "compensated"), row("d", "failed", result=None)],
        history=COMPENSATED.history,
        lines=[
            *both("a"),
            *both("a", "back"),
            asked("d", at=10, seen={"fence": 1, "attempts": 1, "age": 9.0}),
            done("d", at=10),
        ],
    ),
    "an act whose answer was lost": replace(
        COMPENSATED,
        uncertain=["cancel"],
        history=[*COMPENSATED.history, HistoryRow(kind="act", actor=CLIENT, operation="compensate")],
    ),
}
