"""Events over HTTP: published by those who sign, listed, and dead letters acted on."""

from __future__ import annotations

import json
import time
from uuid import uuid4

import pytest

from sagas.models import DeadLetterAct, InboxMessage, OutboxMessage
from sagas.signatures import sign
from sagas.testing import run_due
from tests.choreography.conftest import listener
from tests.samples import ONCE

__all__ = ["listener"]

pytestmark = pytest.mark.django_db

URL = "/api/v1/events/"
SOURCE = "https://shop.example"
SECRET = "whsec_c2VjcmV0IG9mIHRoZSBzaG9w"


@pytest.fixture(autouse=True)
def _sender(settings):
    settings.SAGAS = settings.SAGAS | {"EVENT_SENDERS": {SOURCE: SECRET}}


def event(**changes):
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": SOURCE,
        "type": "ticket.sold",
        "subject": "7",
        "data": {"n": 1},
    } | changes


def send(client, body, *, secret=SECRET, at=None, tampered=None, **headers):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamp = str(int(time.time() if at is None else at))
    signed = {
        "webhook-id": "m1",
        "webhook-timestamp": stamp,
        "webhook-signature": sign(secret, "m1", stamp, text),
    } | headers
    return client.post(
        URL,
        data=tampered or text,
        content_type="application/json",
        headers={k: v for k, v in signed.items() if v},
    )


def test_a_signed_event_is_published_and_handled(client, listener):
    listener.on("ticket.sold")
    sent = event(correlationid="case 7", traceparent=f"00-{'a' * 32}-{'b' * 16}-01", unknown="passed over")
    response = send(client, sent)
    assert (response.status_code, response.json()) == (202, {"id": sent["id"], "type": "ticket.sold"})
    run_due()
    [heard] = listener.events
    assert (heard.source, heard.key, heard.correlation_id) == (SOURCE, "7", "case 7")
    assert heard.traceparent == sent["traceparent"]


def test_the_same_event_again_changes_nothing(client, listener):
    listener.on("ticket.sold")
    sent = event(id="not a uuid")
    first, again = send(client, sent), send(client, sent)
    assert again.json() == first.json() | {"already": True}
    run_due()
    assert len(listener.heard) == OutboxMessage.objects.count() == 1


def test_another_event_under_its_id_is_refused(client):
    sent = event()
    send(client, sent)
    response = send(client, sent | {"data": {"n": 2}})
    assert (response.status_code, response.json()["code"]) == (422, "event_id_reused")


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "another"},
        {"at": time.time() - 301},
        {"at": time.time() + 1000},
        {"tampered": json.dumps(event(data={"n": 9})).encode()},
        {"webhook-signature": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-id": "another"},
        {"webhook-signature": "v1,\u00e9"},
    ],
    ids=str,
)
def test_what_is_not_signed_rightly_is_refused(client, wrong):
    response = send(client, event(), **wrong)
    assert (response.status_code, response.json()["code"]) == (401, "authentication_failed")
    assert "Webhook-Signature" in response["WWW-Authenticate"]
    assert not OutboxMessage.objects.exists()


def test_a_sender_speaks_for_its_own_source_only(client, settings):
    settings.SAGAS = settings.SAGAS | {"EVENT_SENDERS": {SOURCE: SECRET, "https://other.example": "its own"}}
    assert send(client, event(source="https://other.example")).status_code == 401
    assert send(client, event(source="https://unknown.example")).status_code == 401


def test_nobody_is_let_in_by_a_session_alone(admin):
    assert admin.post(URL, event(), content_type="application/json").status_code == 401


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"specversion": "0.3"}, "validation_error"),
        ({"type": ""}, "validation_error"),
        ({"type": "a:b"}, "not_storable"),
        ({"data": [1]}, "validation_error"),
        ({"data": {"n": "\u0000"}}, "not_storable"),
        ({"hops": -1}, "validation_error"),
    ],
)
def test_what_is_no_cloud_event_is_refused(client, changes, code):
    response = send(client, event(**changes))
    assert (response.status_code, response.json()["code"]) == (400, code)


@pytest.mark.parametrize("body", [b"[" * 5000, b"null", b"{", b'{"source": 1}', b"[1]"])
def test_what_is_no_event_at_all_is_refused(client, body):
    assert send(client, body).status_code == 401


def test_what_is_too_large_is_refused(client):
    assert send(client, event(data={"x": "y" * 300_000})).status_code == 413


def test_the_outbox_is_listed(client, api):
    for number in range(3):
        send(client, event(subject=str(number), correlationid=f"case {number}"))
    body = api.get("/api/v1/outbox/", {"correlation_id": "case 1"}).json()
    [row] = body["results"]
    assert (row["topic"], row["key"], row["headers"]["source"], row["data"]) == (
        "ticket.sold",
        "1",
        SOURCE,
        {"n": 1},
    )
    assert len(api.get("/api/v1/outbox/").json()["results"]) == 3
    assert api.get("/api/v1/outbox/", {"what": "1"}).status_code == 400


def test_looking_takes_permissions(client, users):
    client.force_login(users.staff("view_saga"))
    assert client.get("/api/v1/outbox/").status_code == 403
    assert client.get("/api/v1/dead-letters/").status_code == 403
    client.force_login(users.staff("view_outboxmessage", "view_inboxmessage", username="tom"))
    assert client.get("/api/v1/outbox/").status_code == 200
    assert client.get("/api/v1/dead-letters/").status_code == 200


@pytest.fixture
def letter(client, listener):
    listener.on("ticket.sold", lambda event: 1 / 0, retry=ONCE)
    send(client, event())
    run_due()
    return InboxMessage.objects.get(status="dead")


def test_dead_letters_are_listed_and_shown(api, letter):
    [row] = api.get("/api/v1/dead-letters/", {"subscriber": "tests.ticket.sold"}).json()["results"]
    assert (row["id"], row["error_class"], row["tries"]) == (letter.pk, "ZeroDivisionError", 1)
    assert api.get(f"/api/v1/dead-letters/{letter.pk}/").json() == row | {"acts": []}
    assert api.get("/api/v1/dead-letters/", {"subscriber": "another"}).json()["results"] == []


def test_a_dead_letter_is_requeued(api, letter):
    response = api.post(f"/api/v1/dead-letters/{letter.pk}/requeue/", {"reason": "mended"})
    assert response.status_code == 202
    assert (response.json()["status"], response.json()["acts"][0]["actor"]) == ("due", "root")


def test_a_dead_letter_is_resolved_with_a_reason(api, letter):
    url = f"/api/v1/dead-letters/{letter.pk}/resolve/"
    refused = api.post(url, {})
    assert (refused.status_code, refused.json()["code"]) == (400, "reason_required")
    assert api.post(url, {"reason": "by hand"}).json()["status"] == "resolved"
    again = api.post(url, {"reason": "by hand"})
    assert (again.status_code, again.json()["code"], again.json()["current_status"]) == (
        409,
        "not_dead",
        "resolved",
    )
    assert DeadLetterAct.objects.count() == 3


def test_acting_takes_a_permission(client, users, letter):
    client.force_login(users.staff("view_inboxmessage"))
    response = client.post(f"/api/v1/dead-letters/{letter.pk}/requeue/", {}, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert DeadLetterAct.objects.get().refusal == "permission_denied"


@pytest.mark.parametrize("pk", ["0", "x", "9" * 30])
def test_one_that_is_not_there_is_not_found(api, pk):
    for method, path in (("get", ""), ("post", "requeue/"), ("post", "resolve/")):
        assert getattr(api, method)(f"/api/v1/dead-letters/{pk}/{path}").status_code == 404


def test_a_signed_event_is_for_the_saga_that_waits_for_its_subject_and_counts_once(client, sagas):
    saga, other = sagas.waiting(), sagas.waiting()
    sent = event(type="parcel.picked_up", subject=saga.input["order_id"], data={"by": "van"})
    for_another = json.dumps(sent | {"subject": other.input["order_id"]}).encode()

    assert send(client, sent, tampered=for_another).status_code == 401
    run_due()
    saga.refresh_from_db()
    assert (saga.status, OutboxMessage.objects.count()) == ("running", 0)

    for _ in range(2):  # Whoever listened in sends it again.
        assert send(client, sent).status_code == 202
        run_due()
    saga.refresh_from_db()
    other.refresh_from_db()
    assert (saga.status, other.status) == ("completed", "running")
    assert saga.steps.get(name="pickup").result == {"by": "van"}


@pytest.fixture
def due(client, listener):
    listener.on("ticket.sold")
    send(client, event())
    return InboxMessage.objects.get(status="due")


def test_a_delivery_is_held_and_released(api, due):
    url = f"/api/v1/deliveries/{due.pk}/"
    refused = api.post(f"{url}hold/", {})
    assert (refused.status_code, refused.json()["code"]) == (400, "reason_required")
    held = api.post(f"{url}hold/", {"reason": "not before noon"})
    assert (held.status_code, held.json()["status"], held.json()["due_at"]) == (202, "held", None)
    [row] = api.get("/api/v1/deliveries/", {"status": "held"}).json()["results"]
    assert api.get(url).json() == row | {"acts": held.json()["acts"]}
    act = held.json()["acts"][-1]
    assert (act["operation"], act["actor"], act["reason"]) == ("hold", "root", "not before noon")
    again = api.post(f"{url}hold/", {"reason": "once more"})
    assert (again.status_code, again.json()["code"], again.json()["current_status"]) == (
        409,
        "already_held",
        "held",
    )
    assert api.post(f"{url}release/", {}).json()["status"] == "due"
    run_due()
    for act, code in (("hold", "not_due"), ("release", "not_held")):
        handled = api.post(f"{url}{act}/", {"reason": "late"})
        assert (handled.status_code, handled.json()["code"]) == (409, code)
    assert api.get("/api/v1/deliveries/", {"status": "lost"}).status_code == 400


def test_holding_takes_a_permission(client, users, due):
    client.force_login(users.staff("view_inboxmessage", "requeue_deadletter"))
    for act in ("hold", "release"):
        response = client.post(
            f"/api/v1/deliveries/{due.pk}/{act}/", {"reason": "x"}, content_type="application/json"
        )
        assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
