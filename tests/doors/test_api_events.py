"""Events that other systems deliver to waiting sagas over HTTP."""

from __future__ import annotations

from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from sagas.models import InboxMessage
from sagas.testing import run_due
from tests.doors.test_api_start import assert_problem, pointers

pytestmark = pytest.mark.django_db

TOPIC = "parcel.picked_up"


def url(saga) -> str:
    return f"/api/v1/sagas/{saga.pk}/events/"


def event(**fields) -> dict:
    return {"id": str(uuid4()), "topic": TOPIC, "data": {"by": "van"}} | fields


def test_a_saga_goes_on_when_its_event_has_come(api, sagas, play):
    saga = sagas.waiting()
    sent = event()

    response = api.post(url(saga), sent)
    assert response.status_code == 202
    assert response.json() == {"id": sent["id"], "topic": TOPIC}
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"
    assert play.context("tell").results["pickup"] == {"by": "van"}


def test_the_same_event_again_has_no_effect(api, sagas):
    saga = sagas.waiting()
    sent = event()
    api.post(url(saga), sent)

    assert api.post(url(saga), sent).json()["already"] is True
    run_due()
    again = api.post(url(saga), sent)
    assert (again.status_code, again.json()["already"]) == (202, True)
    assert InboxMessage.objects.count() == 1


@pytest.mark.parametrize("change", [{"data": {"by": "ship"}}, {"topic": "parcel.lost"}])
def test_an_id_is_for_one_event(api, sagas, change):
    saga = sagas.waiting()
    sent = event()
    api.post(url(saga), sent)

    assert_problem(api.post(url(saga), sent | change), 422, "event_id_reused")


def test_an_event_nobody_waits_for_is_refused(api, sagas):
    body = assert_problem(api.post(url(sagas.waiting()), event(topic="parcel.lost")), 409, "not_waiting")
    assert body["waits_for"] == [TOPIC]
    body = assert_problem(api.post(url(sagas.completed()), event()), 409, "not_waiting")
    assert (body["waits_for"], body["current_status"]) == ([], "completed")
    assert not InboxMessage.objects.exists()


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, ["/id", "/topic"]),
        (event(id=7), ["/id"]),
        (event(topic=7), ["/topic"]),
        (event(topic="x" * 101), ["/topic"]),
        (event(data=[]), ["/data"]),
        (event(key="mine"), ["/key"]),
    ],
)
def test_an_event_is_refused_field_by_field(api, sagas, body, places):
    problem = assert_problem(api.post(url(sagas.waiting()), body), 400, "validation_error")
    assert sorted(pointers(problem)) == places


@pytest.mark.parametrize(
    ("codenames", "status"),
    [(None, 401), (("view_saga", "resolve_saga"), 403), (("deliver_event",), 202)],
)
def test_delivering_takes_its_permission(sagas, users, codenames, status):
    saga = sagas.waiting()
    client = APIClient()
    if codenames is not None:
        client.force_authenticate(users.staff(*codenames))

    response = client.post(url(saga), event())
    assert response.status_code == status
    assert InboxMessage.objects.exists() is (status == 202)
    if status == 403:
        assert "sagas.deliver_event" in assert_problem(response, 403, "permission_denied")["detail"]


def test_no_saga_no_event(api):
    assert_problem(api.post(f"/api/v1/sagas/{uuid4()}/events/", event()), 404, "not_found")
