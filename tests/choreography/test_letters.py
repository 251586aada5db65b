"""Dead letters: delivered again or resolved, by whom and why, and never deleted."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.db import DatabaseError

from sagas import Event, publish
from sagas.exceptions import LetterRefused
from sagas.keys import case_id
from sagas.models import DeadLetterAct, InboxMessage, Saga
from sagas.operations.letters import requeue, resolve, send_again
from sagas.operations.performing import perform
from sagas.testing import run_due
from tests.samples import ONCE, postgresql_only

pytestmark = pytest.mark.django_db


@pytest.fixture
def broken(listener):
    """A subscriber that fails until it is mended, with a letter and one that waits behind it."""
    state = {"mended": False}

    def handle(event):
        if not state["mended"] and event.data["n"] == 1:
            raise ValueError("broken")

    listener.on("a", handle, retry=ONCE)
    publish(Event("a", {"n": 1}, key="x"), Event("a", {"n": 2}, key="x"))
    run_due()
    return state


def letter():
    return InboxMessage.objects.get(data={"n": 1})


def heard(listener):
    return [data["n"] for _name, _topic, data in listener.heard]


def test_one_that_is_requeued_is_delivered_again_and_then_what_waited(broken, listener):
    assert heard(listener) == [1]
    broken["mended"] = True
    requeue(letter().pk, by="ops", reason="mended")
    run_due()
    assert heard(listener) == [1, 1, 2]
    assert set(InboxMessage.objects.values_list("status", flat=True)) == {"done"}
    act = DeadLetterAct.objects.get()
    assert (act.operation, act.actor, act.reason, act.refusal) == ("requeue", "ops", "mended", "")
    assert (act.data["status"], act.data["error"], act.data["tries"]) == ("dead", "broken", 1)


def test_one_that_is_resolved_lets_the_others_go_on(broken, listener):
    resolve(letter().pk, by="ops", reason="done by hand")
    run_due()
    assert heard(listener) == [1, 2]
    assert (letter().status, letter().error) == ("resolved", "broken")


def test_a_note_is_needed_to_resolve(broken):
    with pytest.raises(LetterRefused, match="say why it needs no delivery") as refused:
        resolve(letter().pk, by="ops", reason=" ")
    assert refused.value.code == "reason_required"
    assert letter().status == "dead"
    assert DeadLetterAct.objects.get().refusal == "reason_required"


def test_it_takes_a_permission(broken):
    user = User.objects.create(username="sam")
    with pytest.raises(LetterRefused, match=r"sam lacks the permission sagas\.requeue_deadletter"):
        requeue(letter().pk, by=user)
    user.user_permissions.add(Permission.objects.get(codename="requeue_deadletter"))
    requeue(letter().pk, by=User.objects.get(pk=user.pk))
    assert letter().status == "due"


def test_only_a_dead_letter_can_be_acted_on(broken, listener):
    resolve(letter().pk, by="ops", reason="done by hand")
    with pytest.raises(LetterRefused, match="it is resolved, and no dead letter"):
        requeue(letter().pk, by="ops")


def test_what_is_forward_is_not_handled_when_its_case_was_undone(listener, choreography):
    listener.on("ticket.sold", lambda event: 1 / 0, retry=ONCE)
    choreography("shop.order", starts="ticket.sold", ends="order.sent")
    publish(Event("ticket.sold", correlation_id="case"))
    run_due()
    perform(case_id("case"), "compensate", by="ops")
    run_due()
    assert Saga.objects.get().status == "compensated"
    letter = InboxMessage.objects.get(status="dead")
    with pytest.raises(LetterRefused, match="its case has been undone") as refused:
        requeue(letter.pk, by="ops")
    assert refused.value.code == "case_closed"
    resolve(letter.pk, by="ops", reason="undone")


@pytest.mark.parametrize(("atomic", "refusal"), [(True, "case_closed"), (False, None)])
def test_while_its_case_is_undone_only_what_may_have_happened_is_asked_for(
    listener, choreography, atomic, refusal
):
    listener.on("ticket.sold", lambda event: 1 / 0, retry=ONCE, atomic=atomic)
    choreography("shop.order", starts="ticket.sold", ends="order.sent")
    publish(Event("ticket.sold", correlation_id="case"))
    run_due()
    perform(case_id("case"), "compensate", by="ops")
    assert Saga.objects.get().status == "compensating"
    letter = InboxMessage.objects.get(status="dead")
    if refusal is None:
        requeue(letter.pk, by="ops")
        return
    with pytest.raises(LetterRefused, match="or is being") as refused:
        requeue(letter.pk, by="ops")
    assert refused.value.code == refusal


def test_what_was_requeued_before_its_case_turned_back_is_not_handled_after_it(listener, choreography):
    listener.on("ticket.sold", lambda event: 1 / 0, retry=ONCE)
    choreography("shop.order", starts="ticket.sold", ends="order.sent")
    publish(Event("ticket.sold", correlation_id="case"))
    run_due()
    requeue(InboxMessage.objects.get(status="dead").pk, by="ops")
    perform(case_id("case"), "compensate", by="ops")
    assert InboxMessage.objects.get(topic="ticket.sold", status="dead").error_class == "CaseClosed"


@postgresql_only
def test_what_was_done_stays_told(broken):
    resolve(letter().pk, by="ops", reason="done by hand")
    with pytest.raises(DatabaseError, match="append-only"):
        DeadLetterAct.objects.update(reason="something else")


def test_its_case_is_well_again(listener, choreography):
    listener.on("ticket.sold", lambda event: 1 / 0, retry=ONCE)
    choreography("shop.order", starts="ticket.sold", ends="order.sent")
    publish(Event("ticket.sold", correlation_id="case"))
    run_due()
    saga = Saga.objects.get(pk=case_id("case"))
    assert saga.attention == "dead_letter"
    resolve(InboxMessage.objects.get(status="dead").pk, by="ops", reason="sent by hand")
    run_due()
    Saga.objects.filter(pk=saga.pk).update(due_at="2020-01-01T00:00Z")  # The hint comes after a commit.
    run_due()
    saga.refresh_from_db()
    assert (saga.attention, saga.error) == ("", "")


def test_what_was_handled_is_sent_again_and_what_it_publishes_is_told_once(listener):
    listener.on("a", lambda event: publish(Event("b", key=event.key)))
    listener.on("b")
    publish(Event("a", {"n": 1}, key="x"))
    run_due()
    send_again(letter().pk, by="ops", reason="their disk was lost")
    run_due()
    assert listener.topics == ["a", "b", "a"]
    act = DeadLetterAct.objects.get()
    assert (act.operation, act.reason, act.data["status"]) == ("send_again", "their disk was lost", "done")


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [("done", " ", "reason_required"), ("due", "why", "not_done"), ("dead", "why", "not_done")],
)
def test_what_is_not_sent_again(listener, status, reason, code):
    listener.on("a")
    publish(Event("a", {"n": 1}))
    InboxMessage.objects.update(status=status, due_at="2020-01-01T00:00Z")
    with pytest.raises(LetterRefused) as refused:
        send_again(letter().pk, by="ops", reason=reason)
    assert (refused.value.code, letter().status) == (code, status)
    assert DeadLetterAct.objects.get().refusal == code


def test_nothing_of_a_case_that_was_undone_is_sent_again(listener, choreography):
    listener.on("a")
    choreography("box.office", starts="a", ends="z")
    publish(Event("a", {"n": 1}, correlation_id="case"))
    run_due()
    perform(case_id("case"), "compensate", by="ops")
    run_due()
    with pytest.raises(LetterRefused, match="its case was undone"):
        send_again(letter().pk, by="ops", reason="why")
