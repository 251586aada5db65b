"""The planner's rules, one row each."""

from __future__ import annotations

import pytest

from sagas.definitions import Outline, Parallel, Step
from sagas.engine.planner import (
    Begin,
    Decision,
    Finish,
    Halt,
    Suspend,
    TurnBack,
    Wait,
    Wish,
    has_passed_pivot,
    needs_undo,
    plan,
)
from sagas.models import SagaStep
from sagas.states import Attention, Direction
from tests.planner.stands import (
    COMPLETED,
    DUE,
    FAILED,
    LATER,
    MAY_STILL_LAND,
    NOW,
    PENDING,
    RUNNING,
    SKIPPED,
    SOON,
    UNDO_DUE,
    UNDO_FAILED,
    UNDO_WAITING,
    UNDOING,
    UNDONE,
    UNKNOWN,
    WAITING,
    stand,
)
from tests.samples import step

# book, then pay and pack side by side, then send for good, then tell.
TRIP: tuple[Step | Parallel, ...] = (
    step("book"),
    Parallel(step("pay"), step("pack")),
    step("send", pivot=True),
    step("tell", undo=False),
)
NAMES = ("book", "pay", "pack", "send", "tell")


def decide(*stands: SagaStep, direction: Direction, **asked: object) -> Decision:
    states = dict(zip(NAMES, stands, strict=True))
    return plan(Outline.of(TRIP), states, direction, NOW, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("book", "pay", "pack", "send", "tell", "decision"),
    [
        # One stage after the other, the steps of a stage side by side.
        (PENDING, PENDING, PENDING, PENDING, PENDING, Begin(("book",))),
        (RUNNING, PENDING, PENDING, PENDING, PENDING, Wait()),
        (COMPLETED, PENDING, PENDING, PENDING, PENDING, Begin(("pay", "pack"))),
        (COMPLETED, RUNNING, PENDING, PENDING, PENDING, Begin(("pack",))),
        (COMPLETED, COMPLETED, RUNNING, PENDING, PENDING, Wait()),
        (COMPLETED, COMPLETED, COMPLETED, PENDING, PENDING, Begin(("send",))),
        (COMPLETED, COMPLETED, COMPLETED, COMPLETED, PENDING, Begin(("tell",))),
        (COMPLETED, COMPLETED, COMPLETED, COMPLETED, COMPLETED, Finish()),
        # What is passed by is past.
        (SKIPPED, PENDING, PENDING, PENDING, PENDING, Begin(("pay", "pack"))),
        (SKIPPED, SKIPPED, COMPLETED, COMPLETED, SKIPPED, Finish()),
        # Retries wait for their time, the earliest first, and hold up nobody but the stages after them.
        (WAITING, PENDING, PENDING, PENDING, PENDING, Wait(SOON)),
        (DUE, PENDING, PENDING, PENDING, PENDING, Begin(("book",))),
        (COMPLETED, WAITING, PENDING, PENDING, PENDING, Begin(("pack",))),
        (COMPLETED, WAITING, COMPLETED, PENDING, PENDING, Wait(SOON)),
        (COMPLETED, WAITING, DUE, PENDING, PENDING, Begin(("pack",))),
        (COMPLETED, WAITING, RUNNING, PENDING, PENDING, Wait(SOON)),
        (COMPLETED, WAITING, stand("waiting", due_at=LATER), PENDING, PENDING, Wait(SOON)),
        # Before the pivot a failure turns back, once the siblings in flight have come back.
        (FAILED, PENDING, PENDING, PENDING, PENDING, TurnBack()),
        (UNKNOWN, PENDING, PENDING, PENDING, PENDING, TurnBack()),
        (COMPLETED, FAILED, RUNNING, PENDING, PENDING, Wait()),
        (COMPLETED, UNKNOWN, RUNNING, PENDING, PENDING, Wait()),
        (COMPLETED, FAILED, COMPLETED, PENDING, PENDING, TurnBack()),
        (COMPLETED, FAILED, PENDING, PENDING, PENDING, TurnBack()),
        (COMPLETED, FAILED, WAITING, PENDING, PENDING, TurnBack()),
        (COMPLETED, FAILED, DUE, PENDING, PENDING, TurnBack()),
        # The pivot decides. If it surely did not happen there is a way back, if it may have there is none.
        (COMPLETED, COMPLETED, COMPLETED, FAILED, PENDING, TurnBack()),
        (COMPLETED, COMPLETED, COMPLETED, UNKNOWN, PENDING, Halt(Attention.UNKNOWN_OUTCOME)),
        # After it there is only forward.
        (COMPLETED, COMPLETED, COMPLETED, COMPLETED, FAILED, Halt(Attention.PAST_PIVOT)),
        (COMPLETED, COMPLETED, COMPLETED, COMPLETED, UNKNOWN, Halt(Attention.PAST_PIVOT)),
        (COMPLETED, COMPLETED, COMPLETED, COMPLETED, WAITING, Wait(SOON)),
    ],
)  # fmt: skip
def test_forward(book, pay, pack, send, tell, decision):
    assert decide(book, pay, pack, send, tell, direction=Direction.FORWARD) == decision


@pytest.mark.parametrize(
    ("book", "pay", "pack", "send", "decision"),
    [
        # The latest stage first, the steps of a stage side by side.
        (COMPLETED, COMPLETED, COMPLETED, FAILED, Begin(("pay", "pack"), Direction.BACK)),
        (COMPLETED, UNDOING, COMPLETED, FAILED, Begin(("pack",), Direction.BACK)),
        (COMPLETED, UNDONE, UNDOING, FAILED, Wait()),
        (COMPLETED, UNDONE, UNDONE, FAILED, Begin(("book",), Direction.BACK)),
        (UNDONE, UNDONE, UNDONE, FAILED, Finish()),
        # What surely did not happen is not undone.
        (COMPLETED, FAILED, PENDING, PENDING, Begin(("book",), Direction.BACK)),
        (FAILED, PENDING, PENDING, PENDING, Finish()),
        (PENDING, PENDING, PENDING, PENDING, Finish()),
        (SKIPPED, FAILED, SKIPPED, PENDING, Finish()),
        # What may have happened is, but not before its call can no longer land.
        (COMPLETED, UNKNOWN, FAILED, PENDING, Begin(("pay",), Direction.BACK)),
        (COMPLETED, MAY_STILL_LAND, FAILED, PENDING, Wait(LATER)),
        (COMPLETED, MAY_STILL_LAND, COMPLETED, PENDING, Begin(("pack",), Direction.BACK)),
        # Retries of a compensation wait for their time.
        (COMPLETED, UNDO_WAITING, UNDONE, FAILED, Wait(SOON)),
        (COMPLETED, UNDO_DUE, UNDONE, FAILED, Begin(("pay",), Direction.BACK)),
        (COMPLETED, UNDO_WAITING, MAY_STILL_LAND, FAILED, Wait(SOON)),
        (COMPLETED, UNDO_WAITING, UNDOING, FAILED, Wait(SOON)),
        # A compensation that failed stops the way back, once its siblings have come back.
        (COMPLETED, UNDO_FAILED, UNDONE, FAILED, Halt(Attention.COMPENSATION_FAILED)),
        (COMPLETED, UNDO_FAILED, UNDOING, FAILED, Wait()),
        (COMPLETED, UNDO_FAILED, UNDO_WAITING, FAILED, Halt(Attention.COMPENSATION_FAILED)),
        (UNDO_FAILED, UNDONE, UNDONE, FAILED, Halt(Attention.COMPENSATION_FAILED)),
        # No compensation is sent while an action is in flight anywhere.
        (RUNNING, COMPLETED, COMPLETED, FAILED, Wait()),
    ],
)  # fmt: skip
def test_back(book, pay, pack, send, decision):
    assert decide(book, pay, pack, send, PENDING, direction=Direction.BACK) == decision


TURN_BACK = Wish(turn_back=True)
SUSPEND = Wish(suspend=True)
BOTH = Wish(turn_back=True, suspend=True)


@pytest.mark.parametrize(
    ("pay", "direction", "wish", "halting", "decision"),
    [
        # Whatever was asked for waits until no attempt is in flight.
        (RUNNING, Direction.FORWARD, TURN_BACK, None, Wait()),
        (RUNNING, Direction.FORWARD, SUSPEND, None, Wait()),
        (RUNNING, Direction.FORWARD, Wish(), Attention.STEP_EXHAUSTED, Wait()),
        (UNDOING, Direction.BACK, SUSPEND, None, Wait()),
        # Then it is done before anything else begins.
        (PENDING, Direction.FORWARD, TURN_BACK, None, TurnBack()),
        (PENDING, Direction.FORWARD, SUSPEND, None, Suspend()),
        (COMPLETED, Direction.BACK, SUSPEND, None, Suspend()),
        (PENDING, Direction.FORWARD, Wish(), Attention.CRASH_LOOP, Halt(Attention.CRASH_LOOP)),
        (COMPLETED, Direction.BACK, Wish(), Attention.CRASH_LOOP, Halt(Attention.CRASH_LOOP)),
        # To be turned back is the strongest wish, and none at all on the way back.
        (PENDING, Direction.FORWARD, BOTH, Attention.STEP_EXHAUSTED, TurnBack()),
        (PENDING, Direction.FORWARD, SUSPEND, Attention.STEP_EXHAUSTED, Halt(Attention.STEP_EXHAUSTED)),
        (COMPLETED, Direction.BACK, BOTH, None, Suspend()),
        (COMPLETED, Direction.BACK, TURN_BACK, None, Begin(("pay",), Direction.BACK)),
    ],
)
def test_what_was_asked_for(pay, direction, wish, halting, decision):
    stands = (COMPLETED, pay, PENDING, PENDING, PENDING)
    assert decide(*stands, direction=direction, wish=wish, halting=halting) == decision


@pytest.mark.parametrize(
    ("pivot", "passed"),
    [
        (PENDING, False),
        (RUNNING, False),
        (FAILED, False),
        (DUE, False),
        (stand("waiting", due_at=SOON, in_doubt=True), True),
        (stand("running", in_doubt=True), True),
        (UNKNOWN, True),
        (COMPLETED, True),
    ],
)
def test_there_is_no_way_back_once_the_pivot_is_done_or_may_be(pivot, passed):
    states = dict(zip(NAMES, (COMPLETED, COMPLETED, COMPLETED, pivot, PENDING), strict=True))
    assert has_passed_pivot(Outline.of(TRIP), states) is passed


def test_without_a_pivot_there_is_always_a_way_back():
    assert not has_passed_pivot(Outline.of([step("book")]), {"book": COMPLETED})


@pytest.mark.parametrize(
    ("element", "done", "unknown"),
    [
        (step("pay"), True, True),
        (step("look", read_only=True), False, False),
        (step("mail", irrevocable="a mail cannot be unsent"), False, False),
        (step("send", pivot=True), False, False),
    ],
)
def test_only_what_has_a_compensation_is_undone(element, done, unknown):
    assert needs_undo(element, COMPLETED) is done
    assert needs_undo(element, UNKNOWN) is unknown
    assert not needs_undo(element, FAILED)
    assert not needs_undo(element, UNDONE)


def test_the_way_back_passes_by_what_cannot_be_undone_or_need_not_be():
    outline = Outline.of(
        [step("book"), step("look", read_only=True), step("mail", irrevocable="a mail cannot be unsent")]
    )
    states = {"book": COMPLETED, "look": UNKNOWN, "mail": COMPLETED}
    assert plan(outline, states, Direction.BACK, NOW) == Begin(("book",), Direction.BACK)
