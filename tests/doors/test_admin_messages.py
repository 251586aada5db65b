"""Events in the admin: what was published, who was told, and what is done about dead letters."""

from __future__ import annotations

import pytest
from django.urls import reverse

from sagas import Event, PermanentFailure, publish
from sagas.models import DeadLetterAct, InboxMessage, OutboxMessage
from sagas.testing import run_due, run_saga
from tests.choreography.conftest import listener  # noqa: F401
from tests.doors.pages import Page
from tests.samples import step

pytestmark = pytest.mark.django_db

EVIL = "<script>alert(1)</script>"


def _refuse(event: Event) -> None:
    raise PermanentFailure(f"no such address {EVIL}")


@pytest.fixture
def letter(listener) -> InboxMessage:  # noqa: F811
    """A delivery that was given up."""
    listener.on("parcel.sent", _refuse)
    publish(Event("parcel.sent", {"card": "4111", "to": EVIL}, key="p1"))
    run_due()
    return InboxMessage.objects.get(status="dead")


def act_url(letter: InboxMessage, act: str) -> str:
    return reverse("admin:sagas_inboxmessage_act", args=[letter.pk, act])


def test_published_events_and_their_deliveries_are_listed(admin, letter):
    outbox = Page(admin.get(reverse("admin:sagas_outboxmessage_changelist")))
    assert "parcel.sent" in outbox.text
    page = Page(admin.get(reverse("admin:sagas_inboxmessage_changelist"), {"status__exact": "dead"}))
    assert "✕ dead letter" in page.text
    assert {act_url(letter, "requeue"), act_url(letter, "resolve")} <= page.links
    event = OutboxMessage.objects.get()
    for url in (
        reverse("admin:sagas_outboxmessage_change", args=[event.pk]),
        reverse("admin:sagas_inboxmessage_change", args=[letter.pk]),
        act_url(letter, "requeue"),
    ):
        page = Page(admin.get(url))
        assert EVIL in page.text
        assert "4111" not in page.text
        assert page.refused == []


def test_events_are_found_by_their_id_and_their_correlation(admin, letter):
    url = reverse("admin:sagas_outboxmessage_changelist")
    event = OutboxMessage.objects.get()

    for words in (str(event.event_id), event.correlation_id):
        assert list(admin.get(url, {"q": words}).context["cl"].result_list) == [event]
    assert not admin.get(url, {"q": "something"}).context["cl"].result_list


@pytest.mark.parametrize(("act", "status"), [("requeue", "due"), ("resolve", "resolved")])
def test_a_dead_letter_is_looked_at_and_something_is_done_about_it(admin, letter, act, status):
    assert "no such address" in Page(admin.get(act_url(letter, act))).text
    assert not DeadLetterAct.objects.exists()

    response = admin.post(act_url(letter, act), {"reason": "the address is right"})

    assert response["Location"] == reverse("admin:sagas_inboxmessage_change", args=[letter.pk])
    letter.refresh_from_db()
    assert letter.status == status
    done = DeadLetterAct.objects.get()
    assert (done.actor, done.operation, done.reason) == ("root", act, "the address is right")
    assert "the address is right" in Page(admin.get(response["Location"])).text
    again = admin.post(act_url(letter, act), {"reason": "once more"}, follow=True)
    assert "and no dead letter" in Page(again).text


def test_resolving_needs_a_reason(admin, letter):
    page = Page(admin.post(act_url(letter, "resolve"), {}))

    assert "This field is required." in page.text
    letter.refresh_from_db()
    assert letter.status == "dead"


@pytest.mark.parametrize(
    "codenames", [[], ["view_inboxmessage"], ["requeue_deadletter"], ["view_inboxmessage", "retry_saga"]]
)
@pytest.mark.parametrize("act", ["requeue", "resolve"])
def test_acting_takes_its_permission(client, users, letter, codenames, act):
    client.force_login(users.staff(*codenames))

    assert client.get(act_url(letter, act)).status_code == 403
    assert client.post(act_url(letter, act), {"reason": "x"}).status_code == 403
    letter.refresh_from_db()
    assert letter.status == "dead"


def test_a_saga_shows_the_events_of_its_case(admin, define, play, listener):  # noqa: F811
    listener.on("paid")
    play.always("pay", lambda ctx: ctx.publish("paid", {"amount": "1"}, key="k"))
    saga = run_saga(define(step("pay")), {})
    run_due()

    page = Page(admin.get(reverse("admin:sagas_saga_change", args=[saga.pk])))
    assert page.all("h2", id="events")
    assert "tests.paid" in page.text
