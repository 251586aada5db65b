"""Semantic locks, limits, rates, holds, deadlines."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagas import (
    HALT,
    REFUSE,
    Participant,
    PermanentFailure,
    RetryLater,
    SubSaga,
    WaitForEvent,
    cancel_saga,
    offer,
    start,
)
from sagas.definitions import registry
from sagas.engine.errands import run_pending, sweep
from sagas.engine.functions import context_of, raised
from sagas.engine.heartbeat import note_wishes
from sagas.exceptions import LockHeld
from sagas.models import Hold, Permit, Saga, SemanticLock
from sagas.operations.holding import hold, release
from sagas.operations.performing import perform
from sagas.testing import advance, run_due, run_saga
from tests.engine.hands import Hand
from tests.samples import HOUR, MINUTE, ONCE, SECOND, OrderInput, statuses, step

pytestmark = pytest.mark.django_db

LOCK = "order:{order_id}"


def test_a_second_saga_waits_for_the_lock_of_the_first(define, play):
    play.says("book", RetryLater("busy", delay=HOUR))
    definition = define(step("book"), input=OrderInput, locks=[LOCK])
    first, second, other = (run_saga(definition, {"order_id": key}) for key in ("7", "7", "8"))
    assert (first.status, second.status, other.status) == ("running", "pending", "completed")
    waiting = second.steps.get()
    assert (waiting.waits_for, waiting.waits_on) == ("lock", "lock:order:7")
    assert dict(SemanticLock.objects.values_list("name", "saga")) == {"order:7": first.pk}
    advance(2 * HOUR)
    for saga in (first, second):
        saga.refresh_from_db()
        assert saga.status == "completed"
    assert not SemanticLock.objects.exists()


def test_what_begins_and_ends_at_once_leaves_no_lock_and_no_permit(define):
    wait = WaitForEvent("paid", correlate="{order_id}", timeout=HOUR)
    offer("paid", {}, key="7")
    definition = define(wait, input=OrderInput, locks=[LOCK], max_running=1)
    for _ in range(2):
        saga = run_saga(definition, {"order_id": "7"})
        assert (saga.status, saga.definition) == ("completed", definition.name)
        offer("paid", {}, key="7")
    assert not SemanticLock.objects.exists()
    assert not Permit.objects.exists()


def test_it_begins_as_soon_as_the_first_has_ended(define, play):
    definition = define(step("book"), input=OrderInput, locks=[LOCK])
    sagas = [start(definition, {"order_id": "7"}) for _ in range(3)]
    run_due()  # No clock is moved: each is woken by the one before.
    assert {Saga.objects.get(pk=saga.pk).status for saga in sagas} == {"completed"}


@pytest.mark.parametrize("bound", [{"locks": [LOCK]}, {"max_running": 1}], ids=str)
def test_who_comes_later_stands_behind_those_who_wait(define, play, bound):
    definition = define(step("book"), input=OrderInput, **bound)
    first = start(definition, {"order_id": "7"})
    hand = Hand()
    outcomes = hand.call(hand.take())
    waits = start(definition, {"order_id": "7"})
    Hand().claim()
    hand.settle(*outcomes)
    late = start(definition, {"order_id": "7"})
    assert Hand().take(only=[late.pk]) == []
    [attempt] = Hand().take()
    first.refresh_from_db()
    assert (first.status, attempt.held.id) == ("completed", waits.pk)


def test_a_saga_that_does_not_wait_is_refused(define, play):
    play.says("book", RetryLater("busy", delay=HOUR))
    definition = define(step("book"), input=OrderInput, locks=[LOCK], on_locked=REFUSE)
    first = run_saga(definition, {"order_id": "7"})
    with pytest.raises(LockHeld, match=f"saga {first.pk} holds the lock 'order:7'"):
        start(definition, {"order_id": "7"})
    assert Saga.objects.get() == first  # Also within the transaction of this test.


def test_a_halted_saga_keeps_its_locks(define, play):
    play.says("tell", PermanentFailure("no"))
    pivot = step("book", pivot=True)
    definition = define(pivot, step("tell", undo=False), input=OrderInput, locks=[LOCK])
    saga = run_saga(definition, {"order_id": "7"})
    assert saga.status == "failed"
    assert run_saga(definition, {"order_id": "7"}).status == "pending"


@pytest.mark.parametrize("of_parent", [[], [LOCK]], ids=["its own", "its parent's"])
def test_a_lock_of_a_child_is_held_until_its_root_has_ended(define, play, of_parent):
    """A child that took its parent's lock would wait for its parent for ever."""
    play.says("tell", RetryLater("busy", delay=HOUR))
    options = {"input": OrderInput, "undo_after_completion": True}
    inner = define(step("pay"), name="samples.inner", locks=[LOCK], **options)
    middle = define(SubSaga(inner, input=lambda ctx: ctx.input), name="samples.middle", **options)
    child = SubSaga(middle, input=lambda ctx: ctx.input)
    root = run_saga(define(child, step("tell"), input=OrderInput, locks=of_parent), {"order_id": "7"})
    assert (root.status, play.calls) == ("running", ["pay", "tell"])
    assert dict(SemanticLock.objects.values_list("name", "saga")) == {"order:7": root.pk}
    advance(2 * HOUR)
    assert set(Saga.objects.values_list("status", flat=True)) == {"completed"}
    assert not SemanticLock.objects.exists()


@pytest.fixture
def family(define):
    """A parent whose child is born and not begun, under a lock that both of them want."""
    options = {"input": OrderInput, "locks": [LOCK]}
    inner = define(step("pay"), name="samples.inner", undo_after_completion=True, **options)
    root = start(define(SubSaga(inner, input=lambda ctx: ctx.input), **options), {"order_id": "7"})
    hand = Hand()
    hand.settle(*hand.call(hand.take()), begin=False)
    assert Saga.objects.count() == 2
    return root


@pytest.mark.parametrize("begins", ["before", "after"])
def test_the_locks_of_an_abandoned_saga_stay_while_its_children_work(define, play, family, begins):
    """A child is not kept out by what its parent has left, and nobody else works beside it."""
    other = define(step("book"), name="samples.other", input=OrderInput, locks=[LOCK])
    hand = Hand()
    paying = hand.take() if begins == "before" else []
    perform(family.pk, "abandon", by=None)
    waits = start(other, {"order_id": "7"})
    paying += hand.take()
    assert [attempt.step.name for attempt in paying] == ["pay"]
    assert Saga.objects.get(pk=waits.pk).status == "pending"
    assert dict(SemanticLock.objects.values_list("name", "saga")) == {"order:7": family.pk}

    hand.settle(*hand.call(paying))
    run_due()  # No clock is moved: who waited is told.
    assert family.children.get().status == "completed"
    assert Saga.objects.get(pk=waits.pk).status == "completed"
    assert not SemanticLock.objects.exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"max_running": 1}, {}),
        ({"locks": [LOCK]}, {}),
        ({"participant": Participant("narrow", limit=1)}, {"participant": Participant("narrow")}),
    ],
    ids=["a definition's", "a lock", "a participant's"],
)
def test_a_limit_that_the_code_has_no_more_is_no_limit(define, play, before, after):
    """What was taken under it goes with the saga, so that it is whole when the code has it again."""

    def made(participant=None, **options):
        return define(step("book", participant=participant), input=OrderInput, **options)

    hand = Hand()
    first, second = (start(made(**before), {"order_id": "7"}) for _ in range(2))
    attempts = hand.take()
    assert len(attempts) == 1
    made(**after)
    hand.settle(*hand.call(attempts))
    assert Saga.objects.get(pk=first.pk).status == "completed"
    assert Permit.objects.exists() or SemanticLock.objects.exists()

    made(**before)
    sweep()  # Which a supervisor, a schedule and each runner do.
    assert not Permit.objects.exists()
    assert not SemanticLock.objects.exists()
    run_due()  # No clock is moved: who waited was told.
    assert Saga.objects.get(pk=second.pk).status == "completed"


@pytest.mark.parametrize("bound", [{"locks": [LOCK]}, {"max_running": 1}], ids=str)
def test_what_is_abandoned_gives_back_what_it_held_though_the_code_knows_it_no_more(define, play, bound):
    play.says("book", RetryLater("busy", delay=HOUR))
    definition = define(step("book"), input=OrderInput, **bound)
    saga = run_saga(definition, {"order_id": "7"})
    registry.remove(definition)
    perform(saga.pk, "abandon", by=None)
    sweep()
    assert not Permit.objects.exists()
    assert not SemanticLock.objects.exists()


def test_what_is_in_use_is_no_remains(define, play):
    """Of nothing that lives is anything cleared."""
    narrow = Participant("narrow", limit=2)
    definition = define(step("book", participant=narrow), input=OrderInput, locks=[LOCK], max_running=2)
    sagas = [start(definition, {"order_id": key}) for key in "78"]
    hand = Hand()
    first, _second = hand.take()
    hand.settle(raised(first, RetryLater("busy", delay=HOUR), sent=0.0))
    perform(sagas[0].pk, "suspend", by=None)
    before = list(Permit.objects.values()), list(SemanticLock.objects.values())
    assert [len(rows) for rows in before] == [3, 2]
    sweep()
    assert (list(Permit.objects.values()), list(SemanticLock.objects.values())) == before


@pytest.mark.parametrize("bound", [{"locks": [LOCK]}, {"max_running": 1}], ids=str)
def test_what_waited_to_begin_and_was_suspended_waits_again_when_it_is_resumed(define, play, bound):
    play.says("book", RetryLater("busy", delay=HOUR))
    definition = define(step("book"), input=OrderInput, **bound)
    _first, second = (run_saga(definition, {"order_id": "7"}) for _ in range(2))
    for operation in ("suspend", "resume"):
        perform(second.pk, operation, by="ada")
    run_due()
    second.refresh_from_db()
    assert second.status == "pending"
    assert play.calls == ["book"]
    advance(2 * HOUR)
    assert set(Saga.objects.values_list("status", flat=True)) == {"completed"}


def test_what_was_halted_before_it_began_waits_when_it_is_retried(define, play):
    play.says("book", RetryLater("busy", delay=HOUR))
    definition = define(step("book"), step("pay"), input=OrderInput, locks=[LOCK])
    _first, second = (run_saga(definition, {"order_id": "7"}) for _ in range(2))
    define(step("book"), input=OrderInput, locks=[LOCK])
    advance(2 * MINUTE)
    second.refresh_from_db()
    assert (second.status, second.attention) == ("failed", "definition_drift")
    define(step("book"), step("pay"), input=OrderInput, locks=[LOCK])
    perform(second.pk, "retry", by="ada")
    run_due()
    second.refresh_from_db()
    assert second.status == "pending"
    assert play.calls == ["book"]


def test_no_more_attempts_at_once_than_a_participant_takes(define, play):
    bank = Participant("bank", limit=2)
    definition = define(step("pay", participant=bank))
    sagas = [start(definition, {}) for _ in range(5)]
    hands = Hand(), Hand()
    attempts = [(hand, attempt) for hand in hands for attempt in hand.take()]
    assert len(attempts) == 2
    assert Permit.objects.count() == 2
    for hand, attempt in attempts:
        hand.settle(*hand.call([attempt]))
    assert len(Hand().take()) == 2
    Permit.objects.all().delete()
    assert len(sagas) == 5


def test_all_of_them_get_their_turn(define, play):
    definition = define(step("pay", participant=Participant("bank", limit=2)), step("tell"))
    sagas = [start(definition, {}) for _ in range(7)]
    run_due()
    assert {Saga.objects.get(pk=saga.pk).status for saga in sagas} == {"completed"}
    assert not Permit.objects.exists()


def test_a_rate_spreads_attempts(define, play):
    definition = define(step("pay", participant=Participant("bank", rate=1)))
    for _ in range(5):
        start(definition, {})
    run_due()
    begun = len(play.calls)
    assert begun == 2  # One at once, and one for the second before.
    advance(SECOND)
    assert len(play.calls) == begun + 1
    advance(10 * SECOND)
    assert len(play.calls) == 5


def test_no_more_sagas_at_once_than_a_definition_allows(define, play):
    play.always("pay", RetryLater("busy", delay=HOUR))
    definition = define(step("pay"), max_running=2)
    sagas = [start(definition, {}) for _ in range(4)]
    run_due()
    found = [Saga.objects.get(pk=saga.pk).status for saga in sagas]
    assert sorted(found) == ["pending", "pending", "running", "running"]
    play.always("pay", {})
    advance(3 * HOUR)
    assert {Saga.objects.get(pk=saga.pk).status for saga in sagas} == {"completed"}
    assert not Permit.objects.exists()


@pytest.mark.parametrize("held", [{"definition": "samples.trip"}, {"participant": "bank"}])
def test_a_hold_keeps_new_attempts_from_going_forward(define, play, held):
    hold(**held, by="shop")
    saga = run_saga(define(step("pay", participant=Participant("bank"))), {})
    assert (play.calls, saga.steps.get().waits_for) == ([], "hold")
    assert release(Hold.objects.get(), by="shop") == 1
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_a_hold_ends_by_itself_where_it_says_when(define, play):
    saga = start(define(step("pay")), {})
    until = saga.created_at + 3 * MINUTE
    Hold.objects.create(definition="samples.trip", until=until)
    run_due()
    saga.refresh_from_db()
    assert (saga.due_at, saga.steps.get().due_at, play.calls) == (until, until, [])
    advance(4 * MINUTE)
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_a_hold_lets_compensations_go_on(define, play):
    def hold_all(ctx):
        Hold.objects.create(participant="bank")
        raise PermanentFailure("no")

    play.says("tell", hold_all)
    saga = run_saga(define(step("pay", participant=Participant("bank")), step("tell")), {})
    assert (saga.status, play.calls) == ("compensated", ["pay", "tell", "undo pay"])


def test_a_saga_turns_back_at_its_deadline(define, play):
    play.always("tell", RetryLater("busy", delay=10 * MINUTE))
    saga = run_saga(define(step("pay"), step("tell"), deadline=HOUR / 2 + SECOND), {})
    advance(HOUR / 2)
    saga.refresh_from_db()
    assert saga.status == "running"
    advance(MINUTE)
    saga.refresh_from_db()
    assert (saga.status, saga.error_class) == ("compensated", "DeadlinePassed")
    assert statuses(saga) == {"pay": "compensated", "tell": "failed"}


@pytest.mark.parametrize("at_rest", ["suspended", "failed"])
def test_a_deadline_is_judged_when_a_saga_at_rest_goes_on(define, play, at_rest):
    play.says("tell", RetryLater("busy", delay=MINUTE), RetryLater("busy", delay=MINUTE))
    tell = step("tell", retry=ONCE, on_exhausted=HALT) if at_rest == "failed" else step("tell")
    saga = run_saga(define(step("pay"), tell, deadline=HOUR), {})
    if at_rest == "suspended":
        perform(saga.pk, "suspend", by=None)
    advance(2 * HOUR)
    saga.refresh_from_db()
    assert saga.status == at_rest
    perform(saga.pk, "resume" if at_rest == "suspended" else "retry", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.error_class, play.calls) == (
        "compensated",
        "DeadlinePassed",
        ["pay", "tell", "undo pay"],
    )


def test_after_the_pivot_a_deadline_only_alerts(define, play):
    play.says("tell", RetryLater("busy", delay=HOUR))
    saga = run_saga(define(step("pay", pivot=True), step("tell", undo=False), deadline=MINUTE), {})
    advance(2 * MINUTE)
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("running", "deadline")
    advance(HOUR)
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_one_that_is_never_reached_turns_nothing_back(define, play):
    saga = run_saga(define(step("pay"), deadline=timedelta(days=1)), {})
    run_pending()
    advance(timedelta(days=2))
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("completed", ["pay"])


def test_a_step_at_work_sees_that_its_saga_is_to_turn_back(define, play):
    saga = start(define(step("pay")), {})
    hand = Hand()
    [attempt] = hand.take()
    ctx = context_of(attempt)
    assert not ctx.cancel_requested
    cancel_saga(saga.pk, by="customer")
    note_wishes([attempt.held])
    assert ctx.cancel_requested
