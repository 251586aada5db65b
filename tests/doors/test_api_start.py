"""Starting sagas over HTTP."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from rest_framework import serializers
from rest_framework.test import APIClient

from sagas.models import Saga
from sagas.testing import run_due
from tests.samples import OrderInput, step

pytestmark = pytest.mark.django_db

URL = "/api/v1/sagas/"
ORDER = {"definition": "samples.trip", "input": {"order_id": "17"}}


@pytest.fixture(autouse=True)
def definition(trip):
    return trip


def assert_problem(response, status: int, code: str) -> Any:
    """Check the form that every error has, and return the body."""
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"/api/v1/problems/{code.replace('_', '-')}/"
    assert body["instance"].startswith("/api/v1/")
    assert body["title"]
    assert body["detail"]
    return body


def pointers(body: dict) -> list[str]:
    return [error["pointer"] for error in body["errors"]]


def test_a_saga_is_started_and_told_where_to_be_followed(api, queue, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        response = api.post(URL, ORDER)

    saga = Saga.objects.get()
    assert response.status_code == 202
    assert response["Location"] == f"http://testserver{URL}{saga.pk}/"
    assert response["Retry-After"] == "1"
    assert response["ETag"] == f'"{saga.revision}"'
    body = response.json()
    assert (body["id"], body["url"], body["status"]) == (str(saga.pk), response["Location"], "pending")
    assert body["input"] == {"order_id": "17", "amount": "1.00"}
    assert saga.started_by == "root"
    assert queue
    followed = api.get(response["Location"])
    assert followed.json() == body


@pytest.mark.parametrize("once", [{}, {"Idempotency-Key": "once"}], ids=["plain", "with a key"])
def test_it_belongs_to_the_callers_trace(api, once):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    api.post(URL, ORDER, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"} | once)
    assert trace in Saga.objects.get().traceparent


def test_a_trace_that_is_none_is_no_reason_to_refuse(api):
    assert api.post(URL, ORDER, headers={"traceparent": "nonsense"}).status_code == 202
    assert Saga.objects.get().traceparent == ""


def test_what_was_started_runs(api):
    location = api.post(URL, ORDER)["Location"]
    run_due()

    assert api.get(location).json()["status"] == "completed"


def test_a_definition_without_a_key_of_its_own_takes_one(api, define):
    define(step("a"), name="samples.keyless", input=OrderInput)

    body = api.post(URL, ORDER | {"definition": "samples.keyless", "key": " mine "}).json()
    assert body["key"] == " mine "


@pytest.mark.parametrize("key", ["abc", '"abc"'])
def test_the_same_idempotency_key_gives_the_same_saga(api, key):
    first = api.post(URL, ORDER, headers={"Idempotency-Key": "abc"})
    second = api.post(URL, ORDER, headers={"Idempotency-Key": key})

    assert second.status_code == 202
    assert second.json() == first.json()
    assert Saga.objects.count() == 1


def test_an_idempotency_key_belongs_to_its_client(api, users):
    api.post(URL, ORDER, headers={"Idempotency-Key": "abc"})
    other = APIClient()
    other.force_authenticate(users.staff("start_saga", username="olga"))

    response = other.post(URL, ORDER | {"input": {"order_id": "18"}}, headers={"Idempotency-Key": "abc"})
    assert response.status_code == 202
    assert Saga.objects.count() == 2


def test_an_idempotency_key_is_for_one_body(api):
    api.post(URL, ORDER, headers={"Idempotency-Key": "abc"})

    response = api.post(URL, ORDER | {"input": {"order_id": "18"}}, headers={"Idempotency-Key": "abc"})
    assert_problem(response, 422, "idempotency_key_reused")
    assert Saga.objects.count() == 1


@pytest.mark.parametrize("key", ["", '""', "x" * 201, "schlüssel", "a\tb"])
def test_an_idempotency_key_is_printable_and_not_endless(api, key):
    response = api.post(URL, ORDER, headers={"Idempotency-Key": key})

    assert_problem(response, 400, "idempotency_key_invalid")
    assert not Saga.objects.exists()


def test_an_unknown_definition_is_told_by_its_place(api):
    body = assert_problem(api.post(URL, ORDER | {"definition": "samples.nothing"}), 400, "unknown_definition")
    assert pointers(body) == ["/definition"]


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({}, ["/input/order_id"]),
        ({"order_id": "17", "amount": "much"}, ["/input/amount"]),
        ({"amount": "much"}, ["/input/amount", "/input/order_id"]),
        ({"order_id": "17", "colour": "red"}, ["/input/colour"]),
        ({"order_id": "17", "a/b~c": 1}, ["/input/a~1b~0c"]),
        ({"order_id": "x" * 240}, ["/key"]),
        ({"order_id": "17", "key": "x"}, ["/input/key"]),
    ],
)
def test_an_input_is_refused_field_by_field(api, given, places):
    body = assert_problem(api.post(URL, ORDER | {"input": given}), 400, "input_refused")

    assert sorted(pointers(body)) == places
    assert all(error["detail"] and error["code"] for error in body["errors"])
    assert not Saga.objects.exists()


def test_a_key_is_refused_where_the_definition_makes_its_own(api):
    body = assert_problem(api.post(URL, ORDER | {"key": "mine"}), 400, "input_refused")
    assert pointers(body) == ["/key"]


def test_an_input_that_no_database_stores_is_refused(api, define):
    class Loose(serializers.Serializer):
        anything = serializers.JSONField()

    define(step("a"), name="samples.loose", input=Loose)

    response = api.post(URL, {"definition": "samples.loose", "input": {"anything": "a\x00b"}})
    body = assert_problem(response, 400, "not_storable")
    assert pointers(body) == [""]


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, ["/definition", "/input"]),
        ([], [""]),
        ({"definition": "samples.trip"}, ["/input"]),
        (ORDER | {"input": []}, ["/input"]),
        (ORDER | {"input": None}, ["/input"]),
        (ORDER | {"definition": ["x"]}, ["/definition"]),
        (ORDER | {"key": ""}, ["/key"]),
        (ORDER | {"key": "x" * 201}, ["/key"]),
        (ORDER | {"inputs": {}}, ["/inputs"]),
    ],
)
def test_a_body_is_refused_field_by_field(api, body, places):
    problem = assert_problem(api.post(URL, body), 400, "validation_error")
    assert sorted(pointers(problem)) == places
    assert not Saga.objects.exists()


@pytest.mark.parametrize("text", ["{", "", '{"input": NaN}', "\x00", "[" * 50_000])
def test_a_body_that_is_no_json_is_refused(api, text):
    response = api.post(URL, text, content_type="application/json")

    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"


def test_a_live_saga_keeps_its_key_and_is_named(api):
    first = api.post(URL, ORDER).json()

    body = assert_problem(api.post(URL, ORDER), 409, "duplicate_key")
    assert body["existing"] == {"id": first["id"], "url": first["url"], "status": "pending"}
    assert Saga.objects.count() == 1


def test_a_stranger_starts_nothing(client):
    response = client.post(URL, json.dumps(ORDER), content_type="application/json")

    assert_problem(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"]
    assert not Saga.objects.exists()


@pytest.mark.parametrize(
    ("codenames", "status"),
    [((), 403), (("view_saga",), 403), (("retry_saga",), 403), (("start_saga",), 202)],
)
def test_starting_takes_the_permission_that_the_definition_names(users, codenames, status):
    client = APIClient()
    client.force_authenticate(users.staff(*codenames))

    response = client.post(URL, ORDER)
    assert response.status_code == status
    if status == 403:
        body = assert_problem(response, 403, "permission_denied")
        assert "sagas.start_saga" in body["detail"]
    assert Saga.objects.exists() is (status == 202)


def test_a_definition_may_name_a_permission_of_its_own(users, define):
    define(step("a"), name="samples.guarded", start_permission="sagas.compensate_saga")
    client = APIClient()
    client.force_authenticate(users.staff("start_saga"))
    guarded = {"definition": "samples.guarded", "input": {}}
    assert client.post(URL, guarded).status_code == 403

    client.force_authenticate(users.staff("compensate_saga", username="olga"))
    assert client.post(URL, guarded).status_code == 202


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_the_list_takes_no_other_method(api, method):
    assert_problem(getattr(api, method)(URL), 405, "method_not_allowed")


def test_another_media_type_is_not_understood(api):
    response = api.post(URL, "<saga/>", content_type="application/xml")
    assert_problem(response, 415, "unsupported_media_type")


def test_a_saga_that_is_not_there_is_not_found(api):
    for saga_id in (uuid4(), "7", "x" * 36):
        assert_problem(api.get(f"{URL}{saga_id}/"), 404, "not_found")
