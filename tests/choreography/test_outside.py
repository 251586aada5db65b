"""Subscribers that ask other systems: called outside of transactions, and what they may do is minded."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction

from sagas import Event, PermanentFailure, publish
from sagas.choreography import deliveries
from sagas.keys import case_id
from sagas.models import InboxMessage, OutboxMessage, Saga
from sagas.operations.letters import resolve
from sagas.operations.performing import perform
from sagas.testing import advance, run_due
from tests.samples import ONCE, SECOND, STEADY

LEASE = timedelta(seconds=30)


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_it_is_called(listener):
    seen = []

    def ask(event):
        seen.append(connection.in_atomic_block)
        with transaction.atomic(durable=True):
            Group.objects.create(name="theirs")
        publish(Event("paid", key=event.key))

    listener.on("ticket.sold", ask, atomic=False)
    listener.on("paid")
    publish(Event("ticket.sold", key="7"))
    run_due()
    assert (seen, listener.topics) == ([False], ["ticket.sold", "paid"])


@pytest.mark.django_db(transaction=True)
def test_what_a_failed_call_published_is_not_told(listener):
    def ask(event):
        publish(Event("paid"))
        raise TimeoutError

    listener.on("ticket.sold", ask, atomic=False, retry=ONCE)
    publish(Event("ticket.sold"))
    run_due()
    assert not OutboxMessage.objects.filter(topic="paid").exists()
    letter = InboxMessage.objects.get(status="dead")
    assert letter.in_doubt


@pytest.mark.django_db(transaction=True)
def test_what_it_publishes_in_a_transaction_of_its_own_goes_with_that(listener):
    def ask(event):
        with transaction.atomic():
            publish(Event("kept"))
        with transaction.atomic():
            publish(Event("gone"))
            transaction.set_rollback(True)

    listener.on("ticket.sold", ask, atomic=False)
    publish(Event("ticket.sold"))
    run_due()
    assert set(OutboxMessage.objects.values_list("topic", flat=True)) == {"ticket.sold", "kept"}


@pytest.mark.django_db(transaction=True)
def test_it_knows_which_call_it_is(listener):
    def ask(event):
        if event.attempt < 3:
            raise ConnectionError
        publish(Event(f"paid at call {event.attempt}"))

    listener.on("ticket.sold", ask, atomic=False, retry=STEADY)
    publish(Event("ticket.sold"))
    run_due()
    advance(30 * SECOND)
    assert OutboxMessage.objects.filter(topic="paid at call 3").exists()
    assert not InboxMessage.objects.get(topic="ticket.sold").in_doubt


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("error", "in_doubt"), [(PermanentFailure("declined"), False), (TimeoutError("no answer"), True)]
)
def test_only_what_provably_did_not_happen_is_beyond_doubt(listener, error, in_doubt):
    def ask(event):
        raise error

    listener.on("ticket.sold", ask, atomic=False, retry=ONCE)
    publish(Event("ticket.sold"))
    run_due()
    assert InboxMessage.objects.get(status="dead").in_doubt is in_doubt


@pytest.mark.django_db
def test_a_call_that_was_lost_with_its_worker_is_in_doubt(listener):
    listener.on("a", atomic=False)
    listener.on("b")
    publish(Event("a"), Event("b"))
    for _ in range(3):
        deliveries.claim(uuid4(), limit=10, lease=LEASE)
        InboxMessage.objects.update(due_at="2020-01-01T00:00Z")
    assert dict(InboxMessage.objects.values_list("topic", "in_doubt")) == {"a": True, "b": False}


@pytest.fixture
def shop(listener, choreography):
    listener.on("order.undo", undoes="ticket.sold")
    listener.on("paid.undo", undoes="paid")
    choreography("shop.order", starts="ticket.sold", ends="sent")
    return listener


def begin():
    publish(Event("ticket.sold", correlation_id="case"))
    run_due()
    return Saga.objects.get(pk=case_id("case"))


@pytest.mark.django_db(transaction=True)
def test_what_may_have_happened_is_found_out_before_the_case_is_undone(shop):
    answers = iter([TimeoutError("no answer"), None])

    def ask(event):
        if (error := next(answers)) is not None:
            raise error
        publish(Event("paid"))

    shop.on("ticket.sold", ask, atomic=False, retry=STEADY)
    saga = begin()
    perform(saga.pk, "compensate", by="ops")
    run_due()
    saga.refresh_from_db()
    assert (saga.status, shop.topics) == ("compensating", ["ticket.sold"])
    advance(15 * SECOND)
    saga.refresh_from_db()
    assert shop.topics == ["ticket.sold", "ticket.sold", "paid.undo", "order.undo"]
    assert saga.status == "compensated"


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_found_out_needs_a_person_before_the_case_is_undone(shop):
    def ask(event):
        raise TimeoutError("no answer")

    shop.on("ticket.sold", ask, atomic=False, retry=ONCE)
    saga = begin()
    perform(saga.pk, "compensate", by="ops")
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention, shop.topics) == ("compensating", "dead_letter", ["ticket.sold"])
    resolve(InboxMessage.objects.get(status="dead").pk, by="ops", reason="the bank knows of nothing")
    run_due()
    advance(2 * SECOND)
    saga.refresh_from_db()
    assert (saga.status, saga.attention, shop.topics[-1]) == ("compensated", "", "order.undo")
