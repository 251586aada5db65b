"""A declared choreography is one saga: what has come, what is missing, and the way back."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from sagas import Choreography, Event, Expect, publish
from sagas.exceptions import OperationRefused
from sagas.keys import case_id
from sagas.models import InboxMessage, OutboxMessage, Saga
from sagas.operations.performing import perform
from sagas.operations.previewing import preview
from sagas.testing import advance, run_due
from tests.samples import MINUTE, ONCE, SECOND, history, statuses

pytestmark = pytest.mark.django_db

CHAIN = ("ticket.sold", "stock.reserved", "money.taken", "parcel.sent")


def leads_to(topic):
    def handle(event):
        if event.data.get("stop") != topic:
            publish(Event(topic, event.data, event.key))

    return handle


@pytest.fixture
def shop(listener, choreography):
    """Each event of the chain leads to the next, and each can be taken back."""
    for before, after in pairwise(CHAIN):
        listener.on(before, leads_to(after))
    for topic in CHAIN:
        listener.on(f"{topic}.undo", undoes=topic)
    choreography(
        "shop.order",
        starts="ticket.sold",
        ends="parcel.sent",
        undone="order.given_up",
        expects=[Expect(after, after=before, within=5 * MINUTE) for before, after in pairwise(CHAIN)],
    )
    return listener


def begin(**data):
    publish(Event("ticket.sold", data, key="7", correlation_id="case 7"))
    run_due()
    return Saga.objects.get(pk=case_id("case 7"))


def test_it_is_a_saga_from_its_first_event_to_its_last(shop):
    saga = begin()
    assert (saga.kind, saga.definition, saga.key, saga.status) == (
        "choreography",
        "shop.order",
        "7",
        "completed",
    )
    assert (saga.steps_done, saga.steps_total, saga.correlation_id) == (4, 4, "case 7")
    assert statuses(saga) == dict.fromkeys(CHAIN, "completed")
    assert [entry.to_status for entry in history(saga, "status")] == ["running", "completed"]


def test_it_is_there_with_its_first_event(shop):
    publish(Event("ticket.sold", key="7", correlation_id="case 7"))
    saga = Saga.objects.get()
    assert (saga.status, statuses(saga)["ticket.sold"]) == ("pending", "pending")


def test_several_cases_may_have_one_key_at_once(shop):
    publish(Event("ticket.sold", {"stop": "parcel.sent"}, key="7"))
    publish(Event("ticket.sold", {"stop": "parcel.sent"}, key="7"))
    run_due()
    assert list(Saga.objects.values_list("key", "status")) == [("7", "running")] * 2


def test_an_expected_event_that_does_not_come_needs_a_person(shop, alarms):
    saga = begin(stop="money.taken")
    assert (saga.status, saga.attention) == ("running", "")
    assert saga.steps.get(name="money.taken").waits_for == "event"
    advance(5 * MINUTE + SECOND)
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("running", "missing_event")
    assert saga.error == "money.taken was expected by now and has not come."
    advance(10 * MINUTE)
    assert saga.history.filter(data__attention="missing_event").count() == 1
    publish(Event("money.taken", {}, key="7", correlation_id="case 7"))
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("completed", "")


def test_a_dead_letter_needs_a_person_too(shop, listener):
    listener.on("stock.reserved", lambda event: 1 / 0, name="tests.broken", retry=ONCE)
    saga = begin()
    assert (saga.status, saga.attention, saga.error_class) == ("running", "dead_letter", "ZeroDivisionError")
    assert "tests.broken has not handled stock.reserved" in saga.error


def test_it_may_end_undone_by_itself(shop):
    saga = begin(stop="money.taken")
    publish(Event("order.given_up", {}, key="7", correlation_id="case 7"))
    run_due()
    saga.refresh_from_db()
    assert saga.status == "compensated"
    assert statuses(saga)["money.taken"] == "skipped"


def test_a_person_has_it_undone_in_reverse_order_one_at_a_time(shop, listener):
    saga = begin(stop="parcel.sent")
    plan = preview(saga.pk, "compensate", by=None)
    assert [call.step for call in plan.calls] == [f"{topic}.undo" for topic in reversed(CHAIN[:3])]
    shop.heard.clear()
    perform(saga.pk, "compensate", by="ops", reason="customer called")
    under_way = []

    def note(event):
        under_way.append(InboxMessage.objects.filter(status="due", headers__is_way_back=True).count())

    for topic in CHAIN:
        listener.on(f"{topic}.undo", note, name=f"tests.note.{topic}")
    run_due()
    saga.refresh_from_db()
    undone = [topic for name, topic, _data in shop.heard if not name.startswith("tests.note")]
    assert undone == [f"{topic}.undo" for topic in reversed(CHAIN[:3])]
    assert max(under_way) <= 2  # The deliveries of the one event that is being handled.
    assert saga.status == "compensated"
    assert statuses(saga) == dict.fromkeys(CHAIN[:3], "compensated") | {"parcel.sent": "skipped"}
    ids = dict(OutboxMessage.objects.values_list("topic", "event_id"))
    back = OutboxMessage.objects.get(topic="money.taken.undo")
    assert back.headers["undoes"] == back.causation_id == str(ids["money.taken"])


def test_the_next_is_undone_only_when_the_last_reported_it_done(shop, listener):
    saga = begin(stop="parcel.sent")
    listener.on("money.taken.undo", lambda event: 1 / 0, name="tests.refund", retry=ONCE)
    perform(saga.pk, "compensate", by="ops")
    run_due()
    advance(10 * MINUTE)
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("compensating", "dead_letter")
    assert not OutboxMessage.objects.filter(topic="stock.reserved.undo").exists()
    assert statuses(saga)["money.taken"] == "compensating"


def test_what_comes_after_it_was_closed_is_a_dead_letter(shop):
    saga = begin(stop="parcel.sent")
    perform(saga.pk, "compensate", by="ops")
    publish(Event("stock.reserved", {}, key="7", correlation_id="case 7"))
    letter = InboxMessage.objects.get(status="dead")
    assert (letter.topic, letter.error_class) == ("stock.reserved", "CaseClosed")
    run_due()
    assert InboxMessage.objects.get(status="dead") == letter


def test_what_was_not_handled_when_it_was_closed_is_a_dead_letter(shop, listener):
    publish(Event("ticket.sold", key="7", correlation_id="case 7"))
    saga = Saga.objects.get()
    perform(saga.pk, "compensate", by="ops")
    assert InboxMessage.objects.get(subscriber="tests.ticket.sold").status == "dead"
    run_due()
    saga.refresh_from_db()
    assert (shop.topics, saga.status) == (["ticket.sold.undo"], "compensated")


def test_what_follows_from_an_undo_is_not_late(shop, listener):
    listener.on("money.back")
    listener.on("money.taken.undo", lambda event: publish(Event("money.back")) and None, name="tests.refund")
    saga = begin(stop="parcel.sent")
    perform(saga.pk, "compensate", by="ops")
    run_due()
    assert "money.back" in listener.topics
    saga.refresh_from_db()
    assert saga.status == "compensated"


def test_one_that_has_ended_is_not_undone_unless_it_says_so(shop, choreography):
    saga = begin()
    with pytest.raises(OperationRefused, match="it has ended as completed"):
        perform(saga.pk, "compensate", by="ops")
    choreography("shop.order", starts="ticket.sold", ends="parcel.sent", undo_after_completion=True)
    perform(saga.pk, "compensate", by="ops")
    run_due()
    saga.refresh_from_db()
    assert saga.status == "compensated"


@pytest.mark.parametrize("operation", ["retry", "resume", "suspend", "skip", "edit", "restart", "approve"])
def test_nobody_conducts_it_so_most_operations_are_refused(shop, operation):
    saga = begin(stop="parcel.sent")
    given: dict[str, Any] = {"input": {}} if operation == "edit" else {}
    with pytest.raises(OperationRefused, match="it is a choreography") as refused:
        perform(saga.pk, operation, by="ops", **given)
    assert refused.value.code == "choreographed"


def test_it_can_be_abandoned(shop):
    saga = begin(stop="parcel.sent")
    perform(saga.pk, "abandon", by="ops", reason="by phone")
    run_due()
    saga.refresh_from_db()
    assert saga.status == "abandoned"


def test_what_is_expected_needs_something_to_follow():
    with pytest.raises(ValueError, match="expects 'b' after 'x'"):
        Choreography("c", starts="a", ends="b", expects=[Expect("b", after="x", within=timedelta(1))])
