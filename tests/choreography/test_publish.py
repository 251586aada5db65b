"""Publishing: with the transaction, numbered within its key, with all that an envelope says."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import transaction

from sagas import Event, PermanentFailure, WaitForEvent, publish, start, start_many
from sagas.exceptions import NotStorable
from sagas.messaging.envelopes import cloud_event
from sagas.models import InboxMessage, OutboxMessage, Saga
from sagas.testing import run_due, run_saga
from tests.engine.hands import Hand
from tests.engine.statements import statements
from tests.engine.test_statements import WITH_HISTORY
from tests.samples import HOUR, OrderInput, postgresql_only, step

pytestmark = pytest.mark.django_db


def test_an_event_is_there_with_its_delivery_or_not_at_all(listener):
    listener.on("ticket.sold")

    with transaction.atomic():
        publish(Event("ticket.sold", {"n": 1}, key="7"))
        assert InboxMessage.objects.count() == 1
        transaction.set_rollback(True)
    assert not OutboxMessage.objects.exists()
    assert not InboxMessage.objects.exists()
    publish(Event("ticket.sold", {"n": 2}, key="7"))
    run_due()
    assert listener.heard == [("tests.ticket.sold", "ticket.sold", {"n": 2})]
    assert (OutboxMessage.objects.get().seq, InboxMessage.objects.get().status) == (1, "done")


def test_events_of_a_key_are_numbered_and_others_are_not():
    publish(Event("a", key="x"), Event("b", key="y"), Event("c", key="x"), Event("d"))
    publish(Event("e", key="x"))
    numbers = dict(OutboxMessage.objects.values_list("topic", "seq"))
    assert numbers == {"a": 1, "b": 1, "c": 2, "d": 0, "e": 3}


def test_the_same_id_is_one_event(listener):
    listener.on("paid")
    pk = uuid4()
    assert publish(Event("paid", {"n": 1}, id=pk)) == [pk]
    publish(Event("paid", {"n": 1}, id=pk))
    run_due()
    publish(Event("paid", {"n": 1}, id=pk))
    run_due()
    assert (OutboxMessage.objects.count(), len(listener.heard)) == (1, 1)


def test_what_a_handler_publishes_follows_from_what_it_handles(listener):
    listener.on("ticket.sold", lambda event: publish(Event("stock.reserved", {"n": 1}, key="7")))
    listener.on("stock.reserved")
    [first] = publish(Event("ticket.sold", key="7", correlation_id="case"))
    run_due()
    follower = listener.events[-1]
    assert (follower.correlation_id, follower.causation_id, follower.hops) == ("case", str(first), 1)
    assert cloud_event(OutboxMessage.objects.get(topic="stock.reserved")) == {
        "specversion": "1.0",
        "id": str(follower.id),
        "source": "/sagas",
        "type": "stock.reserved",
        "subject": "7",
        "time": OutboxMessage.objects.get(topic="stock.reserved").at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "correlationid": "case",
        "causationid": str(first),
        "hops": 1,
        "sequence": "2",
        "data": {"n": 1},
    }


def test_what_a_failed_handler_published_and_wrote_is_not_there(listener):
    def fail(event):
        Group.objects.create(name="written")
        publish(Event("told"))
        raise PermanentFailure("no")

    listener.on("ticket.sold", fail)
    publish(Event("ticket.sold"))
    run_due()
    assert not Group.objects.exists()
    assert not OutboxMessage.objects.filter(topic="told").exists()
    assert InboxMessage.objects.get().status == "dead"


def test_what_is_published_in_a_savepoint_goes_with_it(listener):
    class Undone(Exception):
        pass

    def half(event):
        publish(Event("kept"))
        try:
            with transaction.atomic():
                publish(Event("gone"))
                raise Undone
        except Undone:
            pass

    listener.on("ticket.sold", half)
    publish(Event("ticket.sold"))
    run_due()
    assert set(OutboxMessage.objects.values_list("topic", flat=True)) == {"ticket.sold", "kept"}


def test_a_step_publishes_to_subscribers_and_to_waiting_sagas(define, play, listener):
    listener.on("parcel.sent")
    wait = WaitForEvent("parcel.sent", correlate="{order_id}", timeout=HOUR, name="sent")
    waiting = run_saga(define(wait, name="samples.waiting", input=OrderInput), {"order_id": "7"})
    play.says("send", lambda ctx: ctx.publish("parcel.sent", {"by": "van"}, key="7"))
    saga = run_saga(define(step("send")), {})
    run_due()
    waiting.refresh_from_db()
    assert waiting.status == "completed"
    [event] = listener.events
    assert (event.correlation_id, event.causation_id) == (saga.correlation_id, str(saga.pk))
    assert OutboxMessage.objects.get().saga_id == saga.pk


def test_publish_in_a_step_keeps_the_correlation_of_its_saga(define, play, listener):
    listener.on("parcel.sent")
    play.says("send", lambda ctx: publish(Event("parcel.sent")) and None)
    saga = run_saga(define(step("send")), {}, correlation_id="case 9")
    run_due()
    [event] = listener.events
    assert (event.correlation_id, event.causation_id) == ("case 9", str(saga.pk))


def test_an_event_nobody_subscribed_to_is_kept_for_a_saga_that_waits_later(define):
    publish(Event("parcel.sent", {"by": "van"}, key="7"))
    run_due()
    wait = WaitForEvent("parcel.sent", correlate="{order_id}", timeout=HOUR, name="sent")
    saga = run_saga(define(wait, input=OrderInput), {"order_id": "7"})
    assert (saga.status, saga.steps.get().result) == ("completed", {"by": "van"})


def test_a_handler_may_start_a_saga(define, listener):
    definition = define(step("pay"))
    listener.on("ticket.sold", lambda event: start(definition, {}, correlation_id=event.correlation_id))
    publish(Event("ticket.sold", correlation_id="case"))
    run_due()
    saga = Saga.objects.get()
    assert (saga.status, saga.correlation_id, saga.continues) == ("completed", "case", None)


@pytest.mark.parametrize(
    "event",
    [
        Event(""),
        Event("a:b"),
        Event("x" * 101),
        Event("t", key="k" * 201),
        Event("t", correlation_id="\x00"),
        Event("t", source="s" * 201),
    ],
)
def test_what_is_no_event_is_refused(event):
    with pytest.raises(NotStorable, match="was refused"):
        publish(event)


def test_what_is_no_trace_context_counts_as_none(listener):
    listener.on("ticket.sold")
    publish(Event("ticket.sold", traceparent="nonsense"))
    run_due()
    assert listener.events[0].traceparent == ""


def test_data_passes_the_gate():
    with pytest.raises(NotStorable, match="The data of event 't'"):
        publish(Event("t", {"at": object()}))


def test_one_handler_cannot_flood(listener):
    listener.on("spark", lambda event: publish(*[Event("fire")] * 1001))
    publish(Event("spark"))
    run_due()
    letter = InboxMessage.objects.get(topic="spark")
    assert (letter.error_class, letter.status) == ("NotStorable", "due")
    assert not OutboxMessage.objects.filter(topic="fire").exists()


@postgresql_only  # SQLite writes each table by itself.
@pytest.mark.parametrize("number", [1, 200])
def test_what_publishing_costs_does_not_grow(listener, number):
    listener.on("ticket.sold")
    with statements() as asked:
        publish(*(Event("ticket.sold", key=str(n % 7)) for n in range(number)))
    # The case it may belong to, the numbers, and outbox and inbox; the wake-up comes with the commit.
    assert len(asked) == 3, asked


@postgresql_only
@pytest.mark.parametrize("number", [1, 10, 200])
def test_what_publishing_adds_to_a_settlement(define, play, listener, number):
    listener.on("ticket.sold")
    play.always("sell", lambda ctx: ctx.publish("ticket.sold", key=str(ctx.saga_id)))
    start_many(define(step("sell")), [{}] * number)
    hand = Hand()
    outcomes = hand.call(hand.take())
    with statements() as asked:
        hand.settle(*outcomes)
    # The cases the events may belong to, their numbers; and a look for sagas that wait, after the commit.
    assert len(asked) == WITH_HISTORY + 3, asked
