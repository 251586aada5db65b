"""Events in the admin: what was published, who was told, and what is done about dead letters."""

from __future__ import annotations

import pytest
from django.urls import reverse

from sagas import Event, PermanentFailure, publish
from sagas.models import DeadLetterAct, InboxMessage, OutboxMessage
from sagas.operations.letters import hold
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


def change_url(message: InboxMessage | OutboxMessage) -> str:
    return reverse(f"admin:sagas_{type(message).__name__.lower()}_change", args=[message.pk])


def many_url(act: str, query: str) -> str:
    return reverse("admin:sagas_inboxmessage_act_on_many", args=[act]) + f"?{query}"


@pytest.fixture
def letters(listener) -> list[InboxMessage]:  # noqa: F811
    """Three deliveries that were given up alike, and one otherwise."""
    listener.on("parcel.sent", _refuse)
    listener.on("parcel.lost", _refuse)
    publish(*(Event("parcel.sent", {"n": n}) for n in range(3)), Event("parcel.lost"))
    run_due()
    return list(InboxMessage.objects.filter(status="dead").order_by("pk"))


def test_whoever_can_do_something_is_first_shown_the_dead_letters(admin, client, users, letter):
    url = reverse("admin:sagas_inboxmessage_changelist")
    assert admin.get(url)["Location"] == f"{url}?tab=dead"
    client.force_login(users.staff("view_inboxmessage"))
    assert client.get(url).status_code == 200


@pytest.mark.parametrize(("tab", "number"), [("dead", 1), ("late", 1), ("due", 2), ("held", 1), ("all", 5)])
def test_tabs_are_by_what_deliveries_need(admin, listener, letter, tab, number):  # noqa: F811
    listener.on("parcel.lost")
    publish(Event("parcel.lost"))
    run_due()
    publish(Event("parcel.lost"), Event("parcel.lost"), Event("parcel.lost"))
    hold(InboxMessage.objects.filter(status="due").latest("pk").pk, by="ops", reason="why")
    late = InboxMessage.objects.filter(status="due")[0]
    InboxMessage.objects.filter(pk=late.pk).update(due_at="2020-01-01T00:00Z")

    page = admin.get(reverse("admin:sagas_inboxmessage_changelist"), {"tab": tab})
    assert len(page.context["cl"].result_list) == number
    events = {"dead": 1, "late": 1, "held": 1, "all": 5}
    if tab in events:
        page = admin.get(reverse("admin:sagas_outboxmessage_changelist"), {"tab": tab})
        assert len(page.context["cl"].result_list) == events[tab]


def test_letters_that_were_given_up_alike_are_dealt_with_at_once(admin, letters):
    page = Page(admin.get(reverse("admin:sagas_inboxmessage_changelist"), {"tab": "dead"}))
    group = f"alike={letters[2].pk}"
    assert {f"?{group}", many_url("requeue", group), many_url("resolve", group)} <= page.links
    listed = admin.get(reverse("admin:sagas_inboxmessage_changelist") + f"?{group}")
    assert len(listed.context["cl"].result_list) == 3

    shown = admin.get(many_url("resolve", group))
    assert "Resolve: 3 dead letters" in Page(shown).text
    last = shown.context["form"]["last"].value()
    publish(Event("parcel.sent", {"n": 9}))
    run_due()  # What is given up after somebody looked is not meant.
    response = admin.post(many_url("resolve", group), {"last": last, "reason": "sent by hand"}, follow=True)

    assert "Resolve was requested for 3 dead letters." in Page(response).text
    assert set(InboxMessage.objects.filter(status="dead").values_list("topic", "data__n")) == {
        ("parcel.sent", 9),
        ("parcel.lost", None),
    }
    assert InboxMessage.objects.filter(status="resolved").count() == DeadLetterAct.objects.count() == 3


def test_letters_are_selected_in_the_list(admin, letters):
    ids = [letters[0].pk, letters[3].pk]
    url = reverse("admin:sagas_inboxmessage_changelist") + "?tab=dead"
    chosen = admin.post(url, {"action": "requeue_selected", "_selected_action": ids})
    assert chosen["Location"] == many_url("requeue", f"ids={ids[0]},{ids[1]}")

    admin.post(chosen["Location"], {"last": ids[1]})
    assert set(InboxMessage.objects.filter(status="due").values_list("pk", flat=True)) == set(ids)
    gone = admin.post(chosen["Location"], {"last": ids[1]}, follow=True)
    assert "None of these is a dead letter any more." in Page(gone).text


def test_of_many_letters_the_number_is_typed(admin, letters, monkeypatch):
    monkeypatch.setattr("sagas.admin.delivery_acts.SMALL", 2)
    url, last = many_url("requeue", f"alike={letters[0].pk}"), letters[2].pk
    assert "There are 3 of them." in Page(admin.post(url, {"last": last, "number": 2})).text
    assert admin.post(url, {"last": last, "number": 3}).status_code == 303


@pytest.mark.parametrize(
    "query", ["", "ids=", "ids=x", "ids=999", "alike=x", "alike=999", f"ids={'9' * 30}"], ids=str
)
def test_an_address_that_names_no_letter_leads_back(admin, query):
    response = admin.get(many_url("requeue", query))
    assert response["Location"] == reverse("admin:sagas_inboxmessage_changelist") + "?tab=dead"


@pytest.mark.parametrize(
    ("error_class", "in_doubt", "advice"),
    [
        ("CrashLoop", False, "It killed its workers"),
        ("TooManyHops", False, "answer each other"),
        ("CaseClosed", False, "had its case undone"),
        ("Timeout", True, "may have taken effect"),
        ("Timeout", False, "Mend the cause"),
    ],
)
def test_a_dead_letter_says_what_to_do(admin, letter, error_class, in_doubt, advice):
    InboxMessage.objects.update(error_class=error_class, in_doubt=in_doubt)
    for url in (change_url(letter), act_url(letter, "resolve")):
        assert advice in Page(admin.get(url)).text


def test_a_dead_letter_of_a_subscriber_that_is_gone_says_so(admin, letter):
    InboxMessage.objects.update(subscriber="gone")
    assert "The code has no such subscriber" in Page(admin.get(change_url(letter))).text


def test_an_event_is_sent_again_to_who_lost_it(admin, listener):  # noqa: F811
    listener.on("parcel.sent", lambda event: publish(Event("told", key=event.key)))
    publish(Event("parcel.sent", key="p1"))
    run_due()
    delivery = InboxMessage.objects.get(topic="parcel.sent")
    event = OutboxMessage.objects.get(topic="parcel.sent")
    assert act_url(delivery, "send_again") in Page(admin.get(change_url(event))).links

    assert "This field is required." in Page(admin.post(act_url(delivery, "send_again"), {})).text
    admin.post(act_url(delivery, "send_again"), {"reason": "their disk was lost"})
    run_due()

    assert listener.topics == ["parcel.sent", "parcel.sent"]
    assert OutboxMessage.objects.filter(topic="told").count() == 1
    assert "Send again" in Page(admin.get(change_url(delivery))).text


def test_who_tells_whom_is_learnt_from_traffic(admin, listener):  # noqa: F811
    listener.on("ticket.sold", lambda event: publish(Event("seat.taken"), Event(EVIL)), name="box.office")
    listener.on("seat.taken", lambda event: publish(Event("ticket.sold", id=event.id)), name="circle")
    publish(Event("ticket.sold"))
    run_due()

    page = admin.get(reverse("admin:sagas_outboxmessage_traffic"))

    shown = Page(page)
    assert shown.refused == []
    assert all(name in shown.text for name in ("ticket.sold", "box.office", "circle", "other code", EVIL))
    left = {box.name: box.x for box in page.context["boxes"]}
    assert left["by:code"] < left["ticket.sold"] < left["seat.taken"]
    assert len(page.context["curves"]) == 3


def test_who_tells_whom_takes_a_permission(client, users):
    url = reverse("admin:sagas_outboxmessage_traffic")
    client.force_login(users.staff("view_saga"))
    assert client.get(url).status_code == 403
    client.force_login(users.staff("view_outboxmessage", username="tom"))
    assert "No event was published yet." in Page(client.get(url)).text


@pytest.fixture
def due(listener) -> list[InboxMessage]:  # noqa: F811
    """An event on its way to two subscribers."""
    listener.on("parcel.sent", name="tests.mail")
    listener.on("parcel.sent", name="tests.books")
    publish(Event("parcel.sent", {"card": "4111"}, key="p1"))
    return list(InboxMessage.objects.order_by("pk"))


def test_a_delivery_is_held_and_says_by_whom_and_why(admin, due):
    assert act_url(due[0], "hold") in Page(admin.get(change_url(due[0]))).links
    assert "This field is required." in Page(admin.post(act_url(due[0], "hold"), {})).text
    shown = Page(admin.post(act_url(due[0], "hold"), {"reason": f"it is {EVIL}"}, follow=True))
    assert shown.refused == []
    listed = Page(admin.get(reverse("admin:sagas_inboxmessage_changelist"), {"tab": "held"}))
    event = Page(admin.get(change_url(OutboxMessage.objects.get())))
    for page in (shown, listed, event, Page(admin.get(act_url(due[0], "release")))):
        assert "‖ held" in page.text
        assert "Held by root, 0\xa0minutes ago" in page.text
        assert f"it is {EVIL}" in page.text
    assert act_url(due[0], "release") in listed.links & event.links
    assert "‖ held" in Page(admin.get(reverse("admin:sagas_outboxmessage_changelist"))).text

    admin.post(act_url(due[0], "release"), {})
    due[0].refresh_from_db()
    assert due[0].status == "due"
    again = admin.post(act_url(due[0], "release"), {}, follow=True)
    assert "it is due, and not held" in Page(again).text


def test_all_deliveries_of_an_event_are_held_and_released(admin, due):
    event = OutboxMessage.objects.get()
    url = many_url("hold", f"event={event.pk}")
    assert url in Page(admin.get(change_url(event))).links
    assert "Hold: 2 deliveries" in Page(admin.get(url)).text
    response = admin.post(url, {"last": due[1].pk, "reason": "not yet"}, follow=True)
    assert "Hold was requested for 2 deliveries." in Page(response).text
    run_due()
    assert set(InboxMessage.objects.values_list("status", flat=True)) == {"held"}
    url = many_url("release", f"event={event.pk}")
    assert url in Page(admin.get(change_url(event))).links
    admin.post(url, {"last": due[1].pk})
    assert set(InboxMessage.objects.values_list("status", flat=True)) == {"due"}
    for unknown in ("999", "x", ""):
        response = admin.get(many_url("hold", f"event={unknown}"))
        assert response["Location"] == reverse("admin:sagas_inboxmessage_changelist") + "?tab=held"


def test_deliveries_are_selected_in_the_list_to_be_held_and_released(admin, due):
    url = reverse("admin:sagas_inboxmessage_changelist") + "?tab=all"
    ids = [each.pk for each in due]
    none = admin.post(url, {"action": "release_selected", "_selected_action": ids}, follow=True)
    assert "With none of these deliveries that can be done." in Page(none).text
    for act, status in (("hold", "held"), ("release", "due")):
        chosen = admin.post(url, {"action": f"{act}_selected", "_selected_action": ids})
        assert chosen["Location"] == many_url(act, f"ids={ids[0]},{ids[1]}")
        admin.post(chosen["Location"], {"last": ids[1], "reason": "why"})
        assert set(InboxMessage.objects.values_list("status", flat=True)) == {status}
    gone = admin.post(chosen["Location"], {"last": ids[1]}, follow=True)
    assert "With none of these deliveries that can be done any more." in Page(gone).text


def test_holding_in_the_admin_takes_its_permission(client, users, due):
    client.force_login(users.staff("view_inboxmessage", "requeue_deadletter"))
    url = reverse("admin:sagas_inboxmessage_changelist")
    assert "hold_selected" not in client.get(url, {"tab": "all"}).content.decode()
    for act in ("hold", "release"):
        assert client.post(act_url(due[0], act), {"reason": "x"}).status_code == 403
        assert client.get(many_url(act, f"ids={due[0].pk}")).status_code == 403
    due[0].refresh_from_db()
    assert due[0].status == "due"
