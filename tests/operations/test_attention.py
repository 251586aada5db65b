"""Whatever a saga calls a person for, acts of operators alone bring it to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sagas import Event, Expect, RetryLater, SubSaga, WaitForEvent, clock, offer, publish, start
from sagas.engine.functions import returned
from sagas.exceptions import OperationRefused
from sagas.models import HistoryEntry, InboxMessage, Saga, SemanticLock
from sagas.operations import letters
from sagas.operations.performing import perform
from sagas.states import TERMINAL, Attention
from sagas.testing import advance, run_due, run_saga
from tests.choreography.conftest import choreography, listener
from tests.engine.alarms import alarms, committing
from tests.engine.hands import Hand
from tests.operations import situations
from tests.operations.situations import NO
from tests.samples import HOUR, MINUTE, ONCE, STEADY, OrderInput, history, statuses, step

__all__ = ["alarms", "choreography", "committing", "listener"]

pytestmark = pytest.mark.django_db

EVENT = WaitForEvent("parcel.sent", correlate="{order_id}", timeout=HOUR, pivot=True, name="sent")


class World:
    """What the builders of situations need."""

    def __init__(self, define, play, listener, choreography, settings) -> None:
        self.define = define
        self.play = play
        self.listener = listener
        self.choreography = choreography
        self.settings = settings


@pytest.fixture
def world(define, play, listener, choreography, settings) -> World:
    return World(define, play, listener, choreography, settings)


def situation(name: str) -> Callable[[World], Saga]:
    return lambda world: getattr(situations, name)(world.define, world.play)


def crash_loop(world: World) -> Saga:
    world.settings.SAGAS = world.settings.SAGAS | {"BATCH": 1, "CRASH_LIMIT": 1}
    saga = start(world.define(step("book"), step("pay")), {})
    hand = Hand()
    hand.settle(*hand.call(hand.take()))
    for _ in range(5):
        clock.shift(MINUTE)
        Hand().take()
    return saga


def drift(world: World) -> Saga:
    saga = start(world.define(step("a"), step("b")), {})
    world.define(step("a"), version=2)
    run_due()
    return saga


def late_effect(world: World) -> Saga:
    saga = start(world.define(step("book"), step("pay", retry=STEADY)), {})
    hand = Hand()
    [attempt] = hand.settle(*hand.call(hand.take())).attempts
    clock.shift(MINUTE)
    world.play.says("pay", NO)
    run_due()
    advance(2 * MINUTE)
    hand.settle(returned(attempt, {"paid": "late"}, sent=0.0))
    return saga


def late_event(world: World) -> Saga:
    world.play.says("undo book", RetryLater("not yet"))
    saga = run_saga(world.define(step("book"), EVENT, input=OrderInput), {"order_id": "7"})
    advance(HOUR)
    offer("parcel.sent", {}, key="7")
    run_due()
    return saga


def late_event_after_the_end(world: World) -> Saga:
    saga = run_saga(world.define(step("book"), EVENT, input=OrderInput), {"order_id": "7"})
    advance(HOUR)
    offer("parcel.sent", {}, key="7")
    run_due()
    return saga


def deadline(world: World) -> Saga:
    world.play.says("tell", RetryLater("busy", delay=HOUR))
    definition = world.define(step("pay", pivot=True), step("tell", undo=False), deadline=MINUTE)
    saga = run_saga(definition, {})
    advance(2 * MINUTE)
    return saga


def deadline_after_the_end(world: World) -> Saga:
    saga = deadline(world)
    advance(HOUR)
    return saga


def case(world: World) -> Saga:
    expects = [Expect("paid", after="sold", within=MINUTE)]
    world.choreography("shop.order", starts="sold", ends="paid", expects=expects)
    publish(Event("sold", {}, key="7", correlation_id="case 7"))
    run_due()
    return Saga.objects.get()


def missing_event(world: World) -> Saga:
    saga = case(world)
    advance(2 * MINUTE)
    return saga


def dead_letter(world: World) -> Saga:
    world.listener.on("sold", lambda event: 1 / 0, retry=ONCE)
    return case(world)


def held(world: World) -> Saga:
    world.listener.on("sold")
    world.choreography("shop.order", starts="sold", ends="paid")
    publish(Event("sold", {}, key="7", correlation_id="case 7"))
    letters.hold(InboxMessage.objects.get().pk, by="ann", reason="not yet")
    run_due()
    return Saga.objects.get()


Act = Callable[[Saga], object]


def do(operation: str, **arguments: Any) -> Act:
    return lambda saga: perform(saga.pk, operation, by="ann", reason="seen to", **arguments)


def resolve_letter(saga: Saga) -> None:
    letters.resolve(InboxMessage.objects.get(status="dead").pk, by="ann", reason="was done by hand")
    publish(Event("paid", {}, key="7", correlation_id="case 7"))


def release_delivery(saga: Saga) -> None:
    letters.release(InboxMessage.objects.get(status="held").pk, by="ann")
    publish(Event("paid", {}, key="7", correlation_id="case 7"))


JOURNEYS: list[tuple[Callable[[World], Saga], Attention, Act, str]] = [
    (situation("exhausted"), Attention.STEP_EXHAUSTED, do("retry"), "completed"),
    (situation("exhausted"), Attention.STEP_EXHAUSTED, do("skip"), "completed"),
    (situation("exhausted"), Attention.STEP_EXHAUSTED, do("compensate"), "compensated"),
    (situation("failed_on_the_way_back"), Attention.COMPENSATION_FAILED, do("retry"), "compensated"),
    (situation("failed_at_its_pivot"), Attention.UNKNOWN_OUTCOME, do("resolve", outcome="done"), "completed"),
    (
        situation("failed_at_its_pivot"),
        Attention.UNKNOWN_OUTCOME,
        do("resolve", outcome="not_done"),
        "compensated",
    ),
    (situation("failed_at_its_pivot"), Attention.UNKNOWN_OUTCOME, do("retry"), "completed"),
    (crash_loop, Attention.CRASH_LOOP, do("retry"), "completed"),
    (crash_loop, Attention.CRASH_LOOP, do("compensate"), "compensated"),
    (drift, Attention.DEFINITION_DRIFT, do("abandon"), "abandoned"),
    (situation("failed_past_its_pivot"), Attention.PAST_PIVOT, do("retry"), "completed"),
    (situation("failed_past_its_pivot"), Attention.PAST_PIVOT, do("skip"), "completed"),
    (late_effect, Attention.LATE_EFFECT, do("compensate"), "compensated"),
    (late_effect, Attention.LATE_EFFECT, do("acknowledge"), "compensated"),
    (late_event, Attention.LATE_EVENT, do("retry"), "compensated"),
    (late_event_after_the_end, Attention.LATE_EVENT, do("acknowledge"), "compensated"),
    (deadline, Attention.DEADLINE, do("acknowledge"), "completed"),
    (deadline_after_the_end, Attention.DEADLINE, do("acknowledge"), "completed"),
    (missing_event, Attention.MISSING_EVENT, do("compensate"), "compensated"),
    (dead_letter, Attention.DEAD_LETTER, resolve_letter, "completed"),
    (dead_letter, Attention.DEAD_LETTER, do("abandon"), "abandoned"),
    (held, Attention.DELIVERY_HELD, release_delivery, "completed"),
    (held, Attention.DELIVERY_HELD, do("compensate"), "compensated"),
]


@pytest.mark.parametrize(("build", "attention", "act", "end"), JOURNEYS)
def test_acts_alone_bring_it_to_its_end(world, build, attention, act, end):
    saga = build(world)
    saga.refresh_from_db()
    assert saga.attention == attention

    act(saga)
    run_due()
    advance(2 * HOUR)
    run_due()

    saga.refresh_from_db()
    assert (saga.status, saga.attention) == (end, "")
    assert saga.status in TERMINAL
    assert HistoryEntry.objects.filter(saga=saga, actor="ann").exists() or act in (
        resolve_letter,
        release_delivery,
    )


def test_there_is_a_way_out_of_every_one():
    assert {attention for _build, attention, _act, _end in JOURNEYS} == set(Attention)


@pytest.mark.parametrize("build", [crash_loop, drift, late_event, situation("failed_at_its_pivot")])
def test_whatever_stands_still_can_be_abandoned(world, build):
    saga = build(world)
    do("abandon")(saga)
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("abandoned", "")


def test_what_took_effect_late_is_undone_again_under_another_key(world):
    saga = late_effect(world)
    first = world.play.context("undo pay")
    assert world.play.calls == ["book", "pay", "undo pay", "undo book"]

    do("compensate")(saga)
    saga.refresh_from_db()
    assert (saga.status, statuses(saga)) == ("compensating", {"book": "compensated", "pay": "compensating"})
    run_due()

    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("compensated", "")
    assert world.play.calls == ["book", "pay", "undo pay", "undo book", "undo pay"]
    again = world.play.context("undo pay")
    assert again.idempotency_key != first.idempotency_key
    assert (again.undoes, again.attempt) == (first.undoes, 2)
    with pytest.raises(OperationRefused, match="it has ended as compensated"):
        do("compensate")(saga)


def test_an_undo_that_fails_again_calls_again(world):
    saga = late_effect(world)
    world.play.says("undo pay", NO)
    do("compensate")(saga)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("failed", "compensation_failed")


def test_what_was_acknowledged_is_told_with_who_and_why_and_calls_nobody(world, alarms, committing):
    saga = deadline(world)
    with committing():
        do("acknowledge")(saga)
    assert alarms.heard() == {}
    entry = history(saga, "act")[-1]
    assert (entry.actor, entry.reason, entry.data) == ("ann", "seen to", {"acknowledged": "deadline"})
    advance(MINUTE)
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("running", "")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pending", "it needs nobody."),
        ("completed", "it needs nobody."),
        ("exhausted", "it stands still because of that. Retry it, resolve it, or turn it back."),
    ],
)
def test_what_stands_still_is_not_only_acknowledged(world, name, why):
    saga = situation(name)(world)
    with pytest.raises(OperationRefused) as refusal:
        do("acknowledge")(saga)
    assert str(refusal.value) == f"Acknowledge was refused for {saga}: {why}"


def test_a_child_is_undone_again_although_its_parent_has_ended(world):
    child = world.define(step("pay", retry=STEADY), name="samples.child", undo_after_completion=True)
    parent = start(world.define(SubSaga(child, input=lambda ctx: {}, name="send")), {})
    conductor = Hand()
    conductor.settle(*conductor.call(conductor.take()))
    hand = Hand()
    [attempt] = hand.take()
    assert attempt.held.id != parent.pk
    clock.shift(MINUTE)
    world.play.says("pay", NO)
    run_due()
    advance(5 * MINUTE)
    hand.settle(returned(attempt, {"paid": "late"}, sent=0.0))
    saga = Saga.objects.get(parent=parent)
    assert (saga.status, saga.attention) == ("compensated", "late_effect")

    do("compensate")(saga)
    run_due()

    saga.refresh_from_db()
    parent.refresh_from_db()
    assert (saga.status, saga.attention, parent.status) == ("compensated", "", "compensated")
    assert world.play.calls == ["pay", "undo pay", "undo pay"]


def test_what_it_held_is_held_again_while_it_is_undone_again(world):
    definition = world.define(
        step("pay", retry=STEADY), input=OrderInput, key="order:{order_id}", locks=["order:{order_id}"]
    )
    saga = start(definition, {"order_id": "7"})
    hand = Hand()
    [attempt] = hand.take()
    clock.shift(MINUTE)
    world.play.says("pay", NO)
    run_due()
    advance(2 * MINUTE)
    hand.settle(returned(attempt, {}, sent=0.0))
    other = start(definition, {"order_id": "7"})
    with pytest.raises(OperationRefused, match="a live saga holds its key"):
        do("compensate")(saga)
    perform(other.pk, "abandon", by=None)

    do("compensate")(saga)
    assert SemanticLock.objects.get().saga_id == saga.pk
    run_due()

    saga.refresh_from_db()
    assert (saga.status, SemanticLock.objects.count()) == ("compensated", 0)
