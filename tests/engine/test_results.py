"""Whatever a step returns or raises, something true is stored, and never that nothing happened."""

from __future__ import annotations

import asyncio
import datetime
from decimal import Decimal
from typing import Any

import pytest

from sagas import OutcomeUnknown, RetryPolicy
from sagas.canonical import MAX_DEPTH, MAX_ERROR_CHARACTERS
from sagas.testing import advance, run_saga
from tests.samples import MINUTE, ONCE, statuses, step

pytestmark = pytest.mark.django_db

TWICE = RetryPolicy(attempts=2, jitter=0)


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"in": value}
    return value


class Silent(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Mute(BaseException):
    """One that cannot even be printed."""

    def __str__(self) -> str:
        raise SystemExit


UNSTORABLE = {
    "a number": 7,
    "a list": [1],
    "text": "done",
    "true": True,
    "money": {"price": Decimal("1.10")},
    "a date": {"at": datetime.date(2026, 1, 1)},
    "bytes": {"b": b"x"},
    "a set": {"s": {1}},
    "a function": {"f": print},
    "nan": {"n": float("nan")},
    "infinity": {"n": float("inf")},
    "nul": {"t": "a\x00b"},
    "a surrogate": {"t": "\ud800"},
    "a large integer": {"n": 10**400},
    "a number as key": {1: 2},
    "depth": nested(MAX_DEPTH + 1),
    "great depth": nested(50_000),
    "size": {"t": "x" * 10_000_000},
    "a generator": (number for number in range(3)),
}


@pytest.mark.parametrize("result", UNSTORABLE.values(), ids=UNSTORABLE.keys())
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_result_that_cannot_be_stored_is_no_proof_that_nothing_happened(define, play, result, asynchronous):
    definition = define(step("book"), step("pay", retry=TWICE, asynchronous=asynchronous))
    play.always("pay", lambda ctx: result)
    saga = run_saga(definition, {})
    pay = saga.steps.get(name="pay")
    assert (pay.status, pay.in_doubt, pay.error_class, pay.result) == ("waiting", True, "NotStorable", None)

    advance(MINUTE)
    saga.refresh_from_db()
    assert play.calls == ["book", "pay", "pay", "undo pay", "undo book"]
    assert play.context("undo pay").result is None
    assert (saga.status, statuses(saga)["pay"]) == ("compensated", "compensated")


def test_the_refusal_names_the_step_and_the_place(define, play):
    play.always("pay", {"lines": [{"price": Decimal(1)}]})
    saga = run_saga(define(step("pay", retry=ONCE)), {})
    assert saga.error == (
        "The result of step 'pay' cannot be stored: at /lines/0/price there is a Decimal. "
        "Convert it to JSON types, money and dates to strings."
    )


def test_a_result_that_is_no_dict_is_told_so(define, play):
    play.always("pay", lambda ctx: [1])
    saga = run_saga(define(step("pay", retry=ONCE)), {})
    assert saga.error == "Step 'pay' returned a list. Return a dict, or None."


def test_what_a_compensation_returns_that_cannot_be_stored_is_not_known_either(define, play):
    play.always("undo book", lambda ctx: {1, 2})
    play.always("pay", OutcomeUnknown("no answer"))
    saga = run_saga(define(step("book", undo_retry=ONCE), step("pay", retry=ONCE)), {})
    assert (saga.status, saga.attention) == ("failed", "compensation_failed")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\x00b \ud800"), "a\ufffdb \ufffd"),
        (ValueError("x" * 10_000_000), "x" * (MAX_ERROR_CHARACTERS - 1) + "…"),
        (ValueError(), ""),
        (Silent(), "<Silent without a readable message>"),
    ],
    ids=["unstorable", "10 MB", "empty", "silent"],
)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_whatever_an_error_says_it_is_stored(define, play, error, text, asynchronous):
    play.says("pay", error)
    saga = run_saga(define(step("pay", retry=TWICE, asynchronous=asynchronous)), {})
    pay = saga.steps.get()
    assert (pay.status, pay.error_class, pay.error) == ("waiting", type(error).__name__, text)
    assert (saga.error_class, saga.error) == (pay.error_class, pay.error)


ENDINGS = [
    SystemExit(1),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    MemoryError(),
    RecursionError(),
]


@pytest.mark.parametrize("error", [*ENDINGS, Mute()], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_what_means_to_end_the_process_ends_an_attempt(define, play, error, asynchronous):
    play.says("pay", error)
    saga = run_saga(define(step("pay", retry=TWICE, asynchronous=asynchronous)), {})
    pay = saga.steps.get()
    assert (pay.status, pay.in_doubt, pay.error_class) == ("waiting", True, type(error).__name__)

    advance(MINUTE)
    saga.refresh_from_db()
    assert saga.status == "completed"


@pytest.mark.parametrize("error", ENDINGS, ids=lambda error: type(error).__name__)
def test_and_an_attempt_of_a_compensation(define, play, error):
    play.says("pay", OutcomeUnknown("no answer"))
    play.says("undo pay", error)
    saga = run_saga(define(step("pay", retry=ONCE, undo_retry=TWICE)), {})
    advance(MINUTE)
    saga.refresh_from_db()
    assert play.calls == ["pay", "undo pay", "undo pay"]
    assert saga.status == "compensated"
