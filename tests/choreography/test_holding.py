"""Deliveries that a person holds: nobody makes them until they are released, and nothing overtakes them."""

from __future__ import annotations

from functools import partial

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction

from sagas import Event, clock, publish
from sagas.choreography import handling, keeping
from sagas.engine.attempts import Overtaken
from sagas.exceptions import LetterRefused
from sagas.keys import case_id
from sagas.messaging.backlog import has_work
from sagas.models import DeadLetterAct, InboxMessage, Saga
from sagas.operations.letters import hold, release
from sagas.operations.performing import perform
from sagas.testing import advance, run_due
from tests.choreography.test_races import in_background, take
from tests.engine.test_races import at_once
from tests.samples import MINUTE, SECOND, STEADY, postgresql_only

pytestmark = pytest.mark.django_db


def delivery(n: int = 1) -> InboxMessage:
    return InboxMessage.objects.get(data={"n": n})


def is_due() -> bool:
    due_at = delivery().due_at
    return due_at is not None and due_at <= clock.database_now("default")


def heard(listener) -> list[int]:
    return [data["n"] for _name, _topic, data in listener.heard]


@pytest.fixture
def three(listener):
    """Three events of one key, and one of another."""
    listener.on("a")
    publish(*(Event("a", {"n": n}, key="x") for n in (1, 2, 3)), Event("a", {"n": 4}, key="y"))


def test_it_keeps_its_place_and_what_comes_after_it_in_its_key_waits(three, listener):
    hold(delivery(2).pk, by="ops", reason="the printer is out of paper")
    run_due()
    assert heard(listener) == [1, 4]
    assert {n: delivery(n).status for n in (1, 2, 3, 4)} == {1: "done", 2: "held", 3: "due", 4: "done"}
    assert not has_work()

    release(delivery(2).pk, by="ann")
    run_due()
    assert heard(listener) == [1, 4, 2, 3]
    assert list(DeadLetterAct.objects.values_list("operation", "actor", "reason", "refusal")) == [
        ("hold", "ops", "the printer is out of paper", ""),
        ("release", "ann", "", ""),
    ]


def test_it_is_due_at_once_when_it_is_released_with_the_tries_that_it_had_left(listener, monkeypatch):
    listener.on("a", lambda event: 1 / 0, retry=STEADY)
    publish(Event("a", {"n": 1}))
    run_due()
    assert not is_due()
    hold(delivery().pk, by="ops", reason="their disk is full")
    assert (delivery().due_at, delivery().error_class, delivery().tries) == (None, "ZeroDivisionError", 1)
    woken: list[str] = []
    monkeypatch.setattr("sagas.operations.letters.wake_on_commit", woken.append)
    release(delivery().pk, by="ops")
    assert woken == ["default"]
    assert (delivery().status, delivery().tries) == ("due", 1)
    assert is_due()


@pytest.mark.parametrize(
    ("act", "status", "code", "says"),
    [
        (hold, "held", "already_held", "it is held already"),
        (hold, "done", "not_due", "it is done, and nothing of it is left to hold"),
        (hold, "resolved", "not_due", "it is resolved, and nothing"),
        (hold, "dead", "not_due", "it is dead, and nothing"),
        (release, "due", "not_held", "it is due, and not held"),
        (release, "done", "not_held", "it is done, and not held"),
    ],
)
def test_what_is_refused_and_kept(three, act, status, code, says):
    InboxMessage.objects.filter(pk=delivery().pk).update(status=status)
    with pytest.raises(LetterRefused, match=says) as refused:
        act(delivery().pk, by="ops", reason="why")
    assert (refused.value.code, delivery().status) == (code, status)
    assert DeadLetterAct.objects.get().refusal == code


def test_holding_takes_a_reason(three):
    with pytest.raises(LetterRefused, match="say why it is held"):
        hold(delivery().pk, by="ops", reason=" ")
    assert delivery().status == "due"


def test_holding_and_releasing_take_a_permission(three):
    user = User.objects.create(username="sam")
    with pytest.raises(LetterRefused, match=r"sam lacks the permission sagas\.hold_delivery"):
        hold(delivery().pk, by=user, reason="why")
    user.user_permissions.add(Permission.objects.get(codename="hold_delivery"))
    sam = User.objects.get(pk=user.pk)
    hold(delivery().pk, by=sam, reason="why")
    release(delivery().pk, by=sam)


def test_one_whose_call_is_being_made_is_held_when_that_has_come_back(listener):
    listener.on("a", lambda event: 1 / 0, retry=STEADY)
    publish(Event("a", {"n": 1}))
    worker, taken = take()
    with pytest.raises(LetterRefused, match="call 1 is being made") as refused:
        hold(delivery().pk, by="ops", reason="why")
    assert refused.value.code == "in_flight"
    handling.perform(taken, worker)
    hold(delivery().pk, by="ops", reason="why")
    assert delivery().status == "held"


@pytest.mark.parametrize("atomic", [True, False])
def test_one_whose_worker_was_lost_is_held_and_the_loss_counts(listener, atomic):
    listener.on("a", lambda event: Group.objects.create(name="late"), atomic=atomic)
    publish(Event("a", {"n": 1}))
    worker, taken = take()
    clock.shift(MINUTE)
    hold(delivery().pk, by="ops", reason="why")
    held = delivery()
    assert (held.status, held.held_by, held.crashes, held.in_doubt) == ("held", None, 1, not atomic)
    if atomic:  # Whoever comes back late is told that it counts no more.
        with pytest.raises(Overtaken):
            handling.perform(taken, worker)
        assert not Group.objects.exists()
    release(delivery().pk, by="ops")
    run_due()
    assert (delivery().status, delivery().tries, delivery().crashes) == ("done", 2, 1)


# Of a choreography


@pytest.fixture
def case(listener, choreography):
    """A case whose last event is held on its way to one of two."""
    listener.on("ticket.sold", lambda event: publish(Event("order.sent", key=event.key)))
    listener.on("order.sent", name="tests.mail")
    listener.on("order.sent", name="tests.books")
    listener.on("ticket.sold.undo", undoes="ticket.sold")
    choreography("shop.order", starts="ticket.sold", ends="order.sent")
    publish(Event("ticket.sold", key="7", correlation_id="case"))
    worker, taken = take()
    handling.perform(taken, worker)
    hold(InboxMessage.objects.get(subscriber="tests.mail").pk, by="ops", reason="their server is down")
    run_due()
    return Saga.objects.get(pk=case_id("case"))


def test_a_case_has_not_ended_while_a_delivery_is_held_and_says_so(case, committing):
    assert (case.status, case.attention) == ("running", "delivery_held")
    assert case.error == "The delivery of order.sent to tests.mail is held. Release it when it may go on."
    assert case.due_at > clock.database_now("default") + 30 * SECOND  # Nothing is awaited soon.
    advance(5 * MINUTE)
    assert case.history.filter(data__attention="delivery_held").count() == 1

    with committing():
        release(InboxMessage.objects.get(status="held").pk, by="ops")
    run_due()
    advance(2 * SECOND)
    case.refresh_from_db()
    assert (case.status, case.attention, case.error) == ("completed", "", "")


def test_what_is_held_does_not_go_forward_when_its_case_is_undone(case):
    perform(case.pk, "compensate", by="ops")
    run_due()
    case.refresh_from_db()
    assert case.status == "compensated"
    letter = InboxMessage.objects.get(subscriber="tests.mail")
    assert (letter.status, letter.error_class) == ("dead", "CaseClosed")


def test_the_way_back_waits_for_what_is_held_on_it(listener, choreography, committing):
    listener.on("ticket.sold")
    listener.on("ticket.sold.undo", undoes="ticket.sold")
    choreography("shop.order", starts="ticket.sold", ends="order.sent")
    publish(Event("ticket.sold", {"n": 1}, correlation_id="case"))
    run_due()
    saga = Saga.objects.get()
    perform(saga.pk, "compensate", by="ops")
    keeping.keep()
    hold(InboxMessage.objects.get(topic="ticket.sold.undo").pk, by="ops", reason="why")
    advance(2 * MINUTE)
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("compensating", "delivery_held")

    with committing():
        release(InboxMessage.objects.get(status="held").pk, by="ops")
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention, listener.topics[-1]) == ("compensated", "", "ticket.sold.undo")


# Two at the same delivery


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_who_holds_first_is_not_overtaken_by_a_worker(three):
    with transaction.atomic():
        hold(delivery().pk, by="ops", reason="why")
        thread, came_to = in_background(lambda: take()[1])
        thread.join(5)
        assert not thread.is_alive()
    [taken] = came_to
    assert [each.event.data["n"] for each in taken] == [4]
    assert take()[1] == []
    assert (delivery().status, delivery().tries) == ("held", 0)


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_who_comes_after_a_worker_is_told_that_the_call_is_being_made(three):
    with transaction.atomic():
        _worker, taken = take()
        thread, came_to = in_background(lambda: hold(delivery().pk, by="ops", reason="why"))
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(5)
    [refused] = came_to
    assert isinstance(refused, LetterRefused)
    assert refused.code == "in_flight"
    assert [each.event.data["n"] for each in taken] == [1, 4]
    assert delivery().status == "due"


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_of_two_who_hold_it_at_once_one_is_told_so(three):
    came_to = at_once(*[lambda: hold(delivery().pk, by="ops", reason="why")] * 2)
    assert [getattr(each, "code", "") for each in came_to if isinstance(each, Exception)] == ["already_held"]
    assert delivery().status == "held"


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_a_case_that_is_closed_meanwhile_and_a_hold_do_not_wait_for_each_other(listener, choreography):
    listener.on("ticket.sold")
    choreography("shop.order", starts="ticket.sold", ends="order.sent")
    for n in range(10):
        publish(Event("ticket.sold", {"n": n}, correlation_id=f"case {n}"))
        at_once(
            partial(hold, delivery(n).pk, by="ops", reason="why"),
            partial(perform, case_id(f"case {n}"), "compensate", by="ops"),
        )
        assert (delivery(n).status, delivery(n).error_class) == ("dead", "CaseClosed")
