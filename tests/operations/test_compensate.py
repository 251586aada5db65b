"""Turning a saga back: what was done, or may have been, is undone."""

from __future__ import annotations

from uuid import uuid4

import pytest

from sagas import HALT, Parallel
from sagas.definitions import Element, registry
from sagas.engine.claims import claim
from sagas.engine.functions import call_here
from sagas.engine.settlement import settle
from sagas.engine.slots import Slots
from sagas.exceptions import OperationRefused
from sagas.operations.performing import perform
from sagas.states import Call, Direction
from sagas.testing import run_due, run_saga
from tests.operations import situations
from tests.operations.situations import BUSY, LOST, NO
from tests.samples import MINUTE, ONCE, STEADY, statuses, step

pytestmark = pytest.mark.django_db


class OneSlotFor(Slots):
    """A worker whose slots are all taken but for one kind of step."""

    def __init__(self, name: str) -> None:
        super().__init__(threads=100, tasks=100)
        self.id = uuid4()
        self.name = name

    def reserve(self, step: Element, direction: Direction, call: Call = Call.ACTION) -> bool:
        wanted = step.name == self.name or direction is Direction.BACK
        return wanted and super().reserve(step, direction, call)


def test_what_was_done_is_undone(define, play):
    saga = situations.between_attempts(define, play)
    perform(saga.pk, "compensate", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", ["book", "pay", "undo book"])
    assert statuses(saga)["pay"] == "failed"


def test_of_a_saga_that_never_began_there_is_nothing_to_undo(define, play):
    saga = situations.pending(define, play)
    perform(saga.pk, "compensate", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", [])


@pytest.mark.parametrize("situation", ["exhausted", "exhausted_in_doubt"])
def test_a_halted_saga_can_be_turned_back(define, play, situation):
    saga = getattr(situations, situation)(define, play)
    perform(saga.pk, "compensate", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("compensated", "")
    assert ("undo pay" in play.calls) is (situation == "exhausted_in_doubt")


def test_what_waits_and_may_have_happened_is_undone(define, play):
    play.says("pay", LOST)
    saga = run_saga(define(step("book"), step("pay", retry=STEADY)), {})
    perform(saga.pk, "compensate", by=None)
    run_due()
    assert play.calls == ["book", "pay", "undo pay", "undo book"]


def test_what_was_to_be_tried_again_and_may_have_happened_is_undone(define, play):
    saga = situations.exhausted_in_doubt(define, play)
    perform(saga.pk, "retry", by=None)
    perform(saga.pk, "compensate", by=None)
    run_due()
    saga.refresh_from_db()
    assert play.calls == ["book", "pay", "undo pay", "undo book"]
    assert statuses(saga) == {"book": "compensated", "pay": "compensated"}


def test_also_when_a_sibling_fails_before_it_found_a_slot(define, play):
    play.says("pay", LOST)
    play.says("pack", BUSY, NO)
    elements = [step(name, retry=ONCE, on_exhausted=HALT) for name in ("pay", "pack")]
    saga = run_saga(define(Parallel(*elements)), {})
    assert (saga.attention, statuses(saga)) == ("step_exhausted", {"pay": "unknown", "pack": "failed"})
    perform(saga.pk, "retry", by=None)
    crowded = OneSlotFor("pack")
    [pack] = claim(crowded.id, crowded, limit=1, lease=MINUTE).attempts
    settle([call_here(pack)], crowded.id, crowded, lease=MINUTE, begin=False)
    run_due()
    saga.refresh_from_db()
    assert play.calls == ["pay", "pack", "pack", "undo pay"]
    assert (saga.status, statuses(saga)["pay"]) == ("compensated", "compensated")


@pytest.mark.parametrize("operation", ["retry", "compensate"])
def test_without_its_code_a_saga_can_do_neither(define, play, operation):
    saga = situations.exhausted(define, play)
    definition = registry[saga.definition]
    registry.remove(definition)
    try:
        with pytest.raises(OperationRefused) as refusal:
            perform(saga.pk, operation, by=None)
    finally:
        registry.add(definition)
    assert refusal.value.code == "unknown_definition"


@pytest.mark.parametrize("operation", ["retry", "compensate"])
def test_nor_without_a_part_of_it(define, play, operation):
    saga = situations.between_attempts(define, play)
    define(step("book"), version=2)
    with pytest.raises(OperationRefused) as refusal:
        perform(saga.pk, operation, by=None)
    assert refusal.value.code == "definition_drift"
