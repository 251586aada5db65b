"""Operating sagas over HTTP."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connections
from rest_framework.test import APIClient

from sagas.models import HistoryEntry, Saga
from sagas.operations.catalogue import PLAIN
from sagas.operations.performing import perform
from sagas.testing import run_due
from tests.doors.test_api_start import assert_problem, pointers

pytestmark = pytest.mark.django_db


def url(saga: Saga, operation: str) -> str:
    return f"/api/v1/sagas/{saga.pk}/{operation}/"


def told(saga: Saga, kind: str) -> list[HistoryEntry]:
    return list(saga.history.filter(kind=kind).exclude(actor=""))


def codename(operation: str) -> str:
    return PLAIN[operation].permission.removeprefix("sagas.")


def users_and_answers(operation: str):
    """Yield the permissions of a user, None being nobody, and the answer to a request."""
    own = codename(operation)
    yield None, 401
    yield (), 403
    yield ("view_saga",), 403
    for other in sorted({codename(name) for name in PLAIN} - {own}):
        yield ("view_saga", other), 403
    yield (own,), 202
    yield "root", 202


@pytest.mark.parametrize(
    ("operation", "who", "answer"), [(name, *row) for name in PLAIN for row in users_and_answers(name)]
)
def test_an_operation_is_for_whoever_may_and_nobody_else(sagas, users, operation, who, answer):
    saga = sagas.allowing(operation)
    before = saga.status
    client = APIClient()
    if who is not None:
        client.force_authenticate(users.root() if who == "root" else users.staff(*who))

    response = client.post(url(saga, operation))

    assert response.status_code == answer
    assert len(told(saga, "act")) == (answer == 202)
    assert len(told(saga, "refusal")) == (answer == 403)
    saga.refresh_from_db()
    assert (saga.status != before) is (answer == 202)
    if answer == 403:
        body = assert_problem(response, 403, "permission_denied")
        assert PLAIN[operation].permission in body["detail"]
    elif answer == 401:
        assert_problem(response, 401, "not_authenticated")


@pytest.mark.parametrize("operation", PLAIN)
def test_what_was_asked_is_answered_with_the_saga_and_kept_with_its_reason(api, sagas, operation):
    saga = sagas.allowing(operation)

    response = api.post(url(saga, operation), {"reason": "the bank is open"})

    assert response.status_code == 202
    assert response["Retry-After"] == "1"
    saga.refresh_from_db()
    assert response["ETag"] == f'"{saga.revision}"'
    assert response.json()["status"] == saga.status
    assert len(response.json()["steps"]) == 2
    [entry] = told(saga, "act")
    assert (entry.operation, entry.actor, entry.reason) == (operation, "root", "the bank is open")


def test_what_was_asked_is_done(api, sagas):
    saga = sagas.failed()
    api.post(url(saga, "compensate"))
    run_due()

    saga.refresh_from_db()
    assert saga.status == "compensated"


def test_what_cannot_be_done_is_refused_with_the_present_state(api, sagas):
    saga = sagas.completed()

    body = assert_problem(api.post(url(saga, "retry")), 409, "invalid_state")
    assert body["current_status"] == "completed"
    assert body["current_revision"] == saga.revision
    assert "it has ended as completed" in body["detail"]
    assert [entry.data for entry in told(saga, "refusal")] == [{"code": "invalid_state"}]


def test_if_match_seals_an_operation_to_what_was_seen(api, sagas):
    saga = sagas.failed()
    seen = api.get(f"/api/v1/sagas/{saga.pk}/")["ETag"]
    perform(saga.pk, "retry", by=None)
    perform(saga.pk, "suspend", by=None)

    body = assert_problem(
        api.post(url(saga, "compensate"), headers={"If-Match": seen}), 412, "stale_revision"
    )
    assert body["current_status"] == "suspended"
    now = f'"{body["current_revision"]}"'
    assert api.post(url(saga, "compensate"), headers={"If-Match": now}).status_code == 202


def test_if_match_may_be_any(api, sagas):
    assert api.post(url(sagas.failed(), "retry"), headers={"If-Match": "*"}).status_code == 202


@pytest.mark.parametrize("given", ["7", 'W/"7"', '"x"', '"1", "2"', '""', '"' + "9" * 30 + '"'])
def test_if_match_must_be_an_etag_of_ours(api, sagas, given):
    saga = sagas.failed()

    assert_problem(api.post(url(saga, "retry"), headers={"If-Match": given}), 400, "if_match_invalid")
    assert not told(saga, "act")


@pytest.mark.parametrize(
    ("body", "place"),
    [({"why": "x"}, "/why"), ({"reason": "x" * 1001}, "/reason"), ({"reason": {}}, "/reason"), ([1], "")],
)
def test_a_body_is_refused_field_by_field(api, sagas, body, place):
    saga = sagas.failed()

    assert pointers(assert_problem(api.post(url(saga, "retry"), body), 400, "validation_error")) == [place]
    assert not told(saga, "act")


@pytest.mark.parametrize("operation", PLAIN)
def test_a_get_request_operates_nothing(api, sagas, operation):
    saga = sagas.allowing(operation)

    response = api.get(url(saga, operation))
    assert_problem(response, 405, "method_not_allowed")
    assert response["Allow"] == "POST, OPTIONS"
    assert not told(saga, "act")


@pytest.mark.parametrize("operation", PLAIN)
def test_an_operation_on_no_saga_is_not_found(api, operation):
    for saga_id in (uuid4(), "7"):
        assert_problem(api.post(f"/api/v1/sagas/{saga_id}/{operation}/"), 404, "not_found")


def test_there_is_no_other_operation(api, sagas):
    assert api.post(url(sagas.failed(), "explode")).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_refusal_outlives_the_transaction_of_its_request(api, sagas, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    saga = sagas.completed()
    in_transaction: list[bool] = []

    def note(saga_id, *args, **options):
        in_transaction.append(connections["default"].in_atomic_block)
        return perform(saga_id, *args, **options)

    monkeypatch.setattr("sagas.api.viewsets.perform", note)
    assert api.post(url(saga, "retry")).status_code == 409
    assert in_transaction == [False]
    assert len(told(saga, "refusal")) == 1
