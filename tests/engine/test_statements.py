"""What a claim and a settlement ask of the database does not grow with the batch."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from sagas import (
    Approval,
    OutcomeUnknown,
    Parallel,
    Participant,
    PermanentFailure,
    RetryLater,
    Sleep,
    SubSaga,
    WaitForEvent,
    clock,
    start,
    start_many,
)
from sagas.definitions import Element
from sagas.models import Saga
from sagas.operations.performing import perform
from sagas.testing import run_due
from tests.engine.hands import Hand
from tests.engine.statements import statements
from tests.samples import HOUR, MINUTE, OrderInput, step

pytestmark = pytest.mark.django_db

SIZES = [1, 10, 200]

# Lock the sagas, read their steps, and whether there are facts; then write: PostgreSQL all tables at once,
# SQLite each.
WITHOUT_HISTORY = 3 if connection.vendor == "postgresql" else 4
WITH_HISTORY = 3 if connection.vendor == "postgresql" else 5


@pytest.mark.parametrize("number", SIZES)
def test_a_claim(define, number):
    definition = define(*(step(name) for name in "abcdef"))
    start_many(definition, [{}] * number)
    with statements() as asked:
        attempts = Hand().take()
    assert len(attempts) == number
    assert len(asked) == WITH_HISTORY, asked


@pytest.mark.parametrize("number", SIZES)
def test_a_settlement_that_begins_the_next_steps(define, number):
    start_many(define(step("a"), Parallel(step("b"), step("c"))), [{}] * number)
    hand = Hand()
    outcomes = hand.call(hand.take())
    with statements() as asked:
        settlement = hand.settle(*outcomes)
    assert len(settlement.attempts) == 2 * number
    assert len(asked) == WITHOUT_HISTORY, asked


@pytest.mark.parametrize("number", SIZES)
def test_a_settlement_that_ends_sagas(define, number):
    start_many(define(step("a")), [{}] * number)
    hand = Hand()
    outcomes = hand.call(hand.take())
    with statements() as asked:
        hand.settle(*outcomes)
    assert Saga.objects.filter(status="completed").count() == number
    assert len(asked) == WITH_HISTORY, asked


@pytest.mark.parametrize("number", SIZES)
def test_a_settlement_that_turns_sagas_back(define, play, number):
    play.always("b", PermanentFailure("no"))
    start_many(define(step("a"), step("b")), [{}] * number)
    hand = Hand()
    outcomes = hand.call(hand.settle(*hand.call(hand.take())).attempts)
    with statements() as asked:
        settlement = hand.settle(*outcomes)
    assert len(settlement.attempts) == number
    assert len(asked) == WITH_HISTORY, asked


@pytest.mark.parametrize("number", SIZES)
def test_a_take_over(define, number):
    start_many(define(step("a")), [{}] * number)
    Hand().take()
    clock.shift(MINUTE)
    with statements() as asked:
        attempts = Hand().take()
    assert len(attempts) == min(number, 125)  # After a crash hands are smaller.
    assert len(asked) == WITH_HISTORY, asked


def test_a_settlement_of_sagas_that_come_to_different_things(define, play):
    short, long = define(step("a"), name="samples.short"), define(step("a"), step("b"), name="samples.long")
    play.says("a", None, None, PermanentFailure("no"), RetryLater("busy"), OutcomeUnknown("no answer"))
    for number in range(20):
        start(short if number % 2 else long, {})
    hand = Hand()
    outcomes = hand.call(hand.take())
    with statements() as asked:
        hand.settle(*outcomes)
    assert len(asked) == WITH_HISTORY, asked
    assert len(set(Saga.objects.values_list("status", flat=True))) == 3


def test_finding_nothing_costs_one_statement(define):
    start_many(define(step("a")), [{}] * 3)
    run_due()
    with statements() as asked:
        Hand().take()
    assert len(asked) == 1


def test_input_and_results_are_not_read_to_be_settled(define, play):
    play.always("a", {"large": "x" * 1000})
    start_many(define(step("a"), step("b")), [{}] * 3)
    hand = Hand()
    outcomes = hand.call(hand.settle(*hand.call(hand.take())).attempts)
    with statements() as asked:
        hand.settle(*outcomes)
    reads = [each for each in asked if each.startswith("SELECT")]
    assert not [each for each in reads if '"result"' in each or '"input"' in each]


@pytest.mark.parametrize("number", [1, 10])
def test_wishes_that_are_honoured_cost_two_more(define, number):
    sagas = start_many(define(step("a"), step("b")), [{}] * number)
    hand = Hand()
    outcomes = hand.call(hand.take())
    for saga in sagas:
        perform(saga.pk, "compensate", by=None)
    with statements() as asked:
        settlement = hand.settle(*outcomes)
    assert len(settlement.attempts) == number
    assert len(asked) == WITH_HISTORY + 2, asked  # They are read, and noted as heard.


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite inserts each saga by itself")
@pytest.mark.parametrize("ends", ["completed", "compensated"])
def test_what_children_cost_does_not_grow(define, play, ends):
    """Of the settlement that bears them, and of the claim of parents whose children have ended."""
    if ends == "compensated":
        play.always("pay", PermanentFailure("no"))
    inner = define(step("pay"), name="samples.inner", undo_after_completion=True)
    outer = define(SubSaga(inner, input=lambda ctx: {}), name="samples.outer")
    costs = []
    for number in (1, 10):
        parents = [saga.pk for saga in start_many(outer, [{}] * number)]
        hand = Hand()
        outcomes = hand.call(hand.take())
        with statements() as born:
            hand.settle(*outcomes)
        hand.settle(*hand.call(hand.take()))
        with statements() as heard:
            assert hand.claim(only=parents).moved == number
        assert set(Saga.objects.filter(pk__in=parents).values_list("status", flat=True)) == {ends}
        costs.append((len(born), len(heard)))
    assert costs[0] == costs[1]


NARROW = Participant("narrow", limit=1000)
PACED = Participant("paced", rate=10_000)
LOCKS = ["order:{order_id}"]

PARTS = step("a"), step("b")
# What a claim, the settlement that goes on and the one that ends the saga cost beyond those of plain steps.
FEATURES: dict[str, tuple[tuple[Element, ...], dict[str, Any], tuple[int, ...]]] = {
    "a deadline": (PARTS, {"deadline": HOUR}, (0, 0, 0)),
    "a condition": ((step("a", when=lambda ctx: True), step("b")), {}, (0,) * 5),
    "keys of its own": ((step("a", idempotency_key="a:{order_id}"), step("b")), {}, (0, 0, 0)),
    "a sleep": ((step("a"), Sleep(HOUR, name="rest")), {}, (0, 0, 0)),
    "an approval": ((step("a"), Approval("sagas.approve", timeout=HOUR)), {}, (0, 0, 0)),
    "an event": ((step("a"), WaitForEvent("paid", correlate="{order_id}", timeout=HOUR)), {}, (0, 2, 0)),
    "a rate": ((step("a", participant=PACED), step("b")), {}, (3, 2, 2)),
    "a limit": ((step("a", participant=NARROW), step("b", participant=NARROW)), {}, (2, 3, 4)),
    "a limit of the whole": (PARTS, {"max_running": 1000}, (2, 2, 4)),
    "locks": (PARTS, {"locks": LOCKS}, (2, 3, 5)),
}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite writes each table by itself")
@pytest.mark.parametrize("number", SIZES)
@pytest.mark.parametrize(("parts", "attributes", "more"), FEATURES.values(), ids=FEATURES)
def test_what_a_feature_costs(define, parts, attributes, more, number):
    definition = define(*parts, input=OrderInput, **attributes)
    start_many(definition, [{"order_id": str(each)} for each in range(number)])
    hand = Hand()
    costs = []
    with statements() as asked:
        attempts = hand.take()
    costs.append(len(asked) - WITH_HISTORY)
    while attempts:
        outcomes = hand.call(attempts)
        with statements() as asked:
            attempts = hand.settle(*outcomes).attempts
        costs.append(len(asked) - WITH_HISTORY)
    assert tuple(costs) == more[: len(costs)], asked
    assert len(costs) >= 2
