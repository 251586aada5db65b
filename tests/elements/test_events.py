"""Waiting for events: early, late, doubled, never, and refused."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from sagas import CONTINUE, PermanentFailure, WaitForEvent, offer, start
from sagas.engine import inbox
from sagas.engine.errands import forgotten, sweep
from sagas.exceptions import NotStorable
from sagas.models import InboxMessage, Saga, SagaFact
from sagas.testing import advance, run_due, run_saga
from tests.engine.hands import Hand
from tests.samples import HOUR, MINUTE, OrderInput, history, statuses, step

pytestmark = pytest.mark.django_db

PICKED_UP = "parcel.picked_up"


def parcel(**options: Any):
    given: dict[str, Any] = {"correlate": "{order_id}", "timeout": HOUR, "name": "pickup"} | options
    return WaitForEvent(PICKED_UP, **given)


def test_a_saga_waits_until_the_event_comes(define, play):
    saga = run_saga(define(step("book"), parcel(), step("tell"), input=OrderInput), {"order_id": "7"})
    pickup = saga.steps.get(name="pickup")
    assert (saga.status, pickup.status, pickup.waits_for) == ("running", "waiting", "event")
    assert (pickup.waits_on, saga.held_by) == (f"event:{PICKED_UP}:7", None)
    offer(PICKED_UP, {"by": "van"}, key="8")
    run_due()
    assert play.calls == ["book"]
    offer(PICKED_UP, {"by": "van"}, key="7")
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("completed", ["book", "tell"])
    assert play.context("tell").results["pickup"] == {"by": "van"}


def test_an_event_that_came_early_is_kept_for_the_first_who_waits(define, play):
    definition = define(parcel(), input=OrderInput)
    offer(PICKED_UP, {"n": 1}, key="7")
    run_due()
    assert InboxMessage.objects.get().status == "kept"
    first = run_saga(definition, {"order_id": "7"})
    second = run_saga(definition, {"order_id": "7"})
    assert (first.status, second.status) == ("completed", "running")
    assert InboxMessage.objects.get().status == "taken"


def test_the_same_event_twice_is_one(define):
    definition = define(parcel(), parcel(name="again"), input=OrderInput)
    saga = run_saga(definition, {"order_id": "7"})
    for _ in range(2):
        offer(PICKED_UP, {}, key="7", id=UUID(int=1))
        run_due()
    assert statuses(saga) == {"pickup": "completed", "again": "waiting"}
    offer(PICKED_UP, {}, key="7", id=UUID(int=2))
    run_due()
    assert statuses(saga) == {"pickup": "completed", "again": "completed"}


def test_one_event_is_not_two_for_a_saga_that_waits_twice(define):
    twice = (WaitForEvent("paid", correlate="{order_id}", timeout=HOUR, name=name) for name in ("one", "two"))
    saga = start(define(*twice, input=OrderInput), {"order_id": "7"})
    offer("paid", {}, key="7")
    while Hand().claim().moved:
        pass  # Nobody has delivered it: the waits find it as they begin.
    assert statuses(saga) == {"one": "completed", "two": "waiting"}


def test_everyone_who_waits_hears_of_it(define):
    definition = define(parcel(), input=OrderInput)
    sagas = [run_saga(definition, {"order_id": "7"}) for _ in range(3)]
    offer(PICKED_UP, {}, key="7")
    run_due()
    assert {Saga.objects.get(pk=saga.pk).status for saga in sagas} == {"completed"}


def test_what_a_step_publishes_reaches_those_who_wait(define, play):
    waiting = run_saga(define(parcel(), input=OrderInput, name="samples.waits"), {"order_id": "7"})
    play.says("send", lambda ctx: ctx.publish(PICKED_UP, {"from": "step"}, key="7"))
    run_saga(define(step("send")), {})
    waiting.refresh_from_db()
    assert waiting.status == "completed"
    assert waiting.steps.get().result == {"from": "step"}


def test_what_a_failed_attempt_published_is_not_told(define, play):
    def fails(ctx):
        ctx.publish(PICKED_UP, {}, key="7")
        raise PermanentFailure("no")

    play.says("send", fails)
    run_saga(define(step("send")), {})
    assert not InboxMessage.objects.exists()


@pytest.mark.parametrize(("on_timeout", "status", "calls"), [
    (None, "compensated", ["book", "undo book"]),
    (CONTINUE, "completed", ["book", "tell"]),
])  # fmt: skip
def test_when_it_does_not_come(define, play, on_timeout, status, calls):
    options = {} if on_timeout is None else {"on_timeout": on_timeout}
    saga = run_saga(
        define(step("book"), parcel(**options), step("tell"), input=OrderInput), {"order_id": "7"}
    )
    advance(HOUR - MINUTE)
    saga.refresh_from_db()
    assert saga.status == "running"
    advance(2 * MINUTE)
    saga.refresh_from_db()
    assert (saga.status, play.calls) == (status, calls)


def test_an_event_that_arrives_as_the_time_is_up_is_taken(define):
    saga = run_saga(define(parcel(), input=OrderInput), {"order_id": "7"})
    Saga.objects.filter(pk=saga.pk).update(due_at=saga.created_at)
    saga.steps.update(due_at=saga.created_at)
    InboxMessage.objects.create(
        event_id=UUID(int=1), subscriber="sagas", topic=PICKED_UP, key="7", data={}, status="kept"
    )
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_the_event_may_be_looked_at(define, play):
    def accept(ctx, event):
        if event.data["weight"] > 10:
            raise PermanentFailure("too heavy")
        return {"weight": event.data["weight"], "order": ctx.input["order_id"]}

    definition = define(step("book"), parcel(accept=accept), input=OrderInput)
    light, heavy = (run_saga(definition, {"order_id": key}) for key in ("light", "heavy"))
    offer(PICKED_UP, {"weight": 1}, key="light")
    offer(PICKED_UP, {"weight": 11}, key="heavy")
    run_due()
    light.refresh_from_db()
    heavy.refresh_from_db()
    assert (light.status, heavy.status) == ("completed", "compensated")
    assert light.steps.get(name="pickup").result == {"weight": 1, "order": "light"}


def test_one_that_comes_after_its_pivots_time_stops_the_way_back(define, play):
    play.says("undo book", ValueError("not yet"))
    saga = run_saga(define(step("book"), parcel(pivot=True), input=OrderInput), {"order_id": "7"})
    advance(HOUR)
    saga.refresh_from_db()
    assert saga.status == "compensating"
    offer(PICKED_UP, {}, key="7")
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("failed", "late_event")


def test_one_that_comes_when_all_is_undone_needs_a_person_too(define, play):
    saga = run_saga(define(step("book"), parcel(pivot=True), input=OrderInput), {"order_id": "7"})
    advance(HOUR)
    offer(PICKED_UP, {}, key="7")
    run_due()
    offer(PICKED_UP, {}, key="7")  # Another one changes nothing.
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention, saga.error_class) == ("compensated", "late_event", "LateEvent")
    assert saga.history.filter(data={"attention": "late_event"}).exists()
    assert not saga.facts.filter(applied_at=None).exists()
    assert not forgotten().exists()


def test_one_that_decides_nothing_may_come_late(define, play):
    saga = run_saga(define(step("book"), parcel(), input=OrderInput), {"order_id": "7"})
    advance(HOUR)
    offer(PICKED_UP, {}, key="7")
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("compensated", "")
    assert not forgotten().exists()


def test_a_late_event_of_which_nobody_was_told_is_found(define, play):
    saga = run_saga(define(step("book"), parcel(pivot=True), input=OrderInput), {"order_id": "7"})
    advance(HOUR)
    offer(PICKED_UP, {}, key="7")
    inbox.deliver()  # And then the process dies.
    sweep()
    saga.refresh_from_db()
    assert saga.attention == "late_event"


def test_once_the_event_has_come_a_pivot_is_passed(define, play):
    play.says("tell", PermanentFailure("no"))
    definition = define(step("book"), parcel(pivot=True), step("tell", undo=False), input=OrderInput)
    saga = run_saga(definition, {"order_id": "7"})
    offer(PICKED_UP, {}, key="7")
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("failed", "past_pivot")


@pytest.mark.parametrize(
    ("topic", "key"), [("", "k"), ("a:b", "k"), ("x" * 101, "k"), ("t", "k" * 201), ("\x00", "")]
)
def test_what_is_no_event_is_refused(topic, key):
    with pytest.raises(NotStorable, match="was refused"):
        offer(topic, {}, key=key)


def test_a_fact_whose_saga_nobody_told_is_found(define):
    saga = run_saga(define(parcel(), input=OrderInput), {"order_id": "7"})
    SagaFact.objects.create(saga=saga, kind="event", source="x", data={"step": "pickup", "data": {}})
    assert Hand().take() == []
    sweep()
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"
    assert history(saga, "status")[-1].to_status == "completed"
