"""What is asked of a saga that a worker holds is kept, and honoured when no attempt is in flight."""

from __future__ import annotations

import pytest

from sagas import (
    HALT,
    Approval,
    OutcomeUnknown,
    Parallel,
    Participant,
    PermanentFailure,
    RetryLater,
    Sleep,
    WaitForEvent,
    clock,
    start,
)
from sagas.models import HistoryKind, Hold, SagaFact
from sagas.operations.performing import perform
from sagas.testing import advance, run_due, run_saga
from tests.engine.hands import Hand
from tests.samples import HOUR, MINUTE, ONCE, history, statuses, step

pytestmark = pytest.mark.django_db

NO = PermanentFailure("no")


@pytest.fixture
def hand():
    """A worker whose moves the test makes."""
    return Hand()


@pytest.fixture
def held(define, hand):
    """A saga whose first step is at work, and its attempt."""
    saga = start(define(step("book"), step("pay"), step("send")), {})
    [attempt] = hand.take()
    return saga, attempt


def facts(saga) -> list[tuple[str, bool]]:
    return [(fact.kind, fact.applied_at is not None) for fact in SagaFact.objects.filter(saga=saga)]


def test_an_attempt_that_is_under_way_is_left_alone(held, hand):
    saga, _ = held
    perform(saga.pk, "compensate", by="alice")
    saga.refresh_from_db()
    assert (saga.status, saga.held_by, saga.fence) == ("running", hand.id, 1)
    assert statuses(saga)["book"] == "running"
    assert facts(saga) == [("turn_back", False)]
    assert SagaFact.objects.get(saga=saga).by == "alice"


def test_it_finishes_and_is_undone(held, hand, play):
    saga, attempt = held
    perform(saga.pk, "compensate", by=None)
    play.always("book", {"ref": 1})
    [undo] = hand.settle(*hand.call([attempt])).attempts
    assert (undo.step.name, undo.result) == ("book", {"ref": 1})
    hand.settle(*hand.call([undo]))

    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", ["book", "undo book"])
    assert facts(saga) == [("turn_back", True)]


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (NO, ["book"]),
        (RetryLater("busy"), ["book"]),
        (OutcomeUnknown("no answer"), ["book", "undo book"]),
    ],
)
def test_whatever_it_comes_to_it_is_not_tried_again(held, hand, play, answer, calls):
    saga, attempt = held
    perform(saga.pk, "compensate", by=None)
    play.says("book", answer)
    hand.settle(*hand.call([attempt]), begin=False)
    advance(5 * MINUTE)
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", calls)


def test_all_that_is_in_flight_is_awaited(define, hand, play):
    saga = start(define(Parallel(step("pay"), step("pack")), step("send")), {})
    pay, pack = hand.take()
    perform(saga.pk, "compensate", by=None)
    assert hand.settle(*hand.call([pay])).attempts == []
    undo = hand.settle(*hand.call([pack])).attempts
    assert {attempt.step.name for attempt in undo} == {"pay", "pack"}


WAITS = {
    "an event": WaitForEvent("paid", correlate="x", timeout=HOUR, name="wait"),
    "an approval": Approval("sagas.approve", timeout=HOUR, name="wait"),
    "a time": Sleep(HOUR, name="wait"),
    "a retry": step("wait"),
    "the end of a hold": step("wait", participant=Participant("held")),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_what_is_waited_for_is_waited_for_no_longer(define, play, wait):
    play.always("wait", RetryLater("busy", delay=HOUR))
    Hold.objects.create(participant="held")
    saga = run_saga(define(step("book"), wait), {})
    assert statuses(saga)["wait"] == "waiting"
    perform(saga.pk, "compensate", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, statuses(saga)["wait"], saga.due_at) == ("compensated", "failed", None)


def test_a_suspension_waits_for_the_step_border_too(held, hand, play):
    saga, attempt = held
    perform(saga.pk, "suspend", by=None)
    settlement = hand.settle(*hand.call([attempt]))
    saga.refresh_from_db()
    assert (saga.status, saga.held_by, saga.due_at) == ("suspended", None, None)
    assert (settlement.attempts, settlement.let_go) == ([], {saga.pk})
    assert statuses(saga) == {"book": "completed", "pay": "pending", "send": "pending"}
    assert facts(saga) == [("suspend", True)]

    perform(saga.pk, "resume", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("completed", ["book", "pay", "send"])


def test_who_resumes_it_before_its_worker_stopped_withdraws_the_suspension(held, hand, play):
    saga, attempt = held
    for operation in ("suspend", "resume") * 2:
        perform(saga.pk, operation, by=None)
    attempts = hand.settle(*hand.call([attempt])).attempts
    saga.refresh_from_db()
    assert (saga.status, [each.step.name for each in attempts]) == ("running", ["pay"])
    assert facts(saga) == [("suspend", True)] * 2

    perform(saga.pk, "suspend", by=None)
    hand.settle(*hand.call(attempts))
    saga.refresh_from_db()
    assert saga.status == "suspended"


def test_a_suspension_of_the_way_back_too(define, hand, play):
    play.says("send", NO)
    saga = start(define(step("book"), step("pay"), step("send")), {})
    attempts = hand.take()
    for _ in range(3):
        attempts = hand.settle(*hand.call(attempts)).attempts
    perform(saga.pk, "suspend", by=None)
    hand.settle(*hand.call(attempts))
    saga.refresh_from_db()
    assert (saga.status, saga.direction) == ("suspended", "back")
    assert statuses(saga) == {"book": "completed", "pay": "compensated", "send": "failed"}


def test_wishing_twice_is_wishing_once(held, hand, play):
    saga, attempt = held
    for _ in range(2):
        perform(saga.pk, "compensate", by=None)
    attempts = hand.settle(*hand.call([attempt])).attempts
    hand.settle(*hand.call(attempts))
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", ["book", "undo book"])
    assert len(history(saga, HistoryKind.ACT)) == 2
    assert all(applied for _, applied in facts(saga))
    assert [entry.to_status for entry in history(saga, HistoryKind.STATUS)] == [
        "running",
        "compensating",
        "compensated",
    ]


def test_who_wants_both_is_turned_back_and_then_suspended(held, hand, play):
    saga, attempt = held
    perform(saga.pk, "suspend", by=None)
    perform(saga.pk, "compensate", by=None)
    hand.settle(*hand.call([attempt]))
    saga.refresh_from_db()
    assert (saga.status, saga.direction) == ("suspended", "back")
    perform(saga.pk, "resume", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", ["book", "undo book"])


def test_a_wish_that_the_pivot_overtook_is_refused_and_recorded(define, hand, play):
    saga = start(define(step("book"), step("send", pivot=True), step("tell", undo=False)), {})
    attempts = hand.settle(*hand.call(hand.take())).attempts
    perform(saga.pk, "compensate", by="alice")
    [tell] = hand.settle(*hand.call(attempts)).attempts

    assert tell.step.name == "tell"
    [entry] = history(saga, HistoryKind.REFUSAL)
    assert (entry.operation, entry.reason, entry.actor) == ("compensate", "past pivot", "alice")
    assert facts(saga) == [("turn_back", True)]
    hand.settle(*hand.call([tell]))
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("completed", ["book", "send", "tell"])


def test_one_that_came_before_a_pivot_which_refuses_is_honoured(define, hand, play):
    play.says("send", NO)
    saga = start(define(step("book"), step("send", pivot=True)), {})
    attempts = hand.settle(*hand.call(hand.take())).attempts
    perform(saga.pk, "compensate", by=None)
    hand.settle(*hand.call(attempts), begin=False)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", ["book", "send", "undo book"])
    assert not history(saga, HistoryKind.REFUSAL)


def test_a_wish_outlives_the_worker(held, play):
    saga, _ = held
    perform(saga.pk, "compensate", by=None)
    clock.shift(MINUTE)
    run_due()
    advance(3 * MINUTE)
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", ["undo book"])


def test_a_wish_comes_before_the_last_line(define, hand, play):
    saga = start(define(step("book")), {})
    [attempt] = hand.take()
    perform(saga.pk, "compensate", by=None)
    [undo] = hand.settle(*hand.call([attempt])).attempts
    assert undo.step.name == "book"


def test_a_suspension_comes_before_a_halt_that_the_plan_would_lead_to(define, hand, play):
    play.says("tell", NO)
    saga = start(define(step("send", pivot=True), step("tell", undo=False)), {})
    attempts = hand.settle(*hand.call(hand.take())).attempts
    perform(saga.pk, "suspend", by=None)
    hand.settle(*hand.call(attempts))
    stands = []
    for operation in ("resume", "retry"):
        saga.refresh_from_db()
        stands.append(saga.status)
        perform(saga.pk, operation, by=None)
        run_due()
    saga.refresh_from_db()
    assert [*stands, saga.status] == ["suspended", "failed", "completed"]


def test_a_suspension_that_a_halt_overtook_does_not_come_back_at_the_retry(define, hand, play):
    play.says("pay", RetryLater("busy"))
    saga = start(define(step("pay", retry=ONCE, on_exhausted=HALT)), {})
    [attempt] = hand.take()
    perform(saga.pk, "suspend", by=None)
    hand.settle(*hand.call([attempt]))
    saga.refresh_from_db()
    assert saga.status == "failed"
    perform(saga.pk, "retry", by=None)
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"
