"""Requests that are repeated have one effect: starts, operations, orders; also at the same moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from rest_framework.test import APIClient

from orders.models import Order, Product
from sagas import REFUSE, start
from sagas.idempotency import purge_expired
from sagas.models import IdempotencyRecord, Saga
from tests.doors.test_api_operations import told
from tests.doors.test_api_operations import url as operation_url
from tests.doors.test_api_start import ORDER, URL, assert_problem
from tests.samples import OrderInput, postgresql_only, step

pytestmark = pytest.mark.django_db

KEY = {"Idempotency-Key": "abc"}
AT_ONCE = 50
A_MOMENT = timedelta(milliseconds=200)


def test_a_repeated_start_is_told_from_a_first_one(api, trip):
    first = api.post(URL, ORDER, headers=KEY)
    again = api.post(URL, ORDER, headers=KEY)

    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert (again["Location"], again.json()) == (first["Location"], first.json())


def test_a_repeated_start_answers_with_what_became_of_the_saga(api, sagas, trip):
    api.post(URL, ORDER, headers=KEY)
    sagas.completed()

    assert api.post(URL, ORDER, headers=KEY).json()["status"] == "completed"


def test_a_key_is_for_one_definition(api, trip, define):
    define(step("a"), name="samples.other", input=OrderInput)
    api.post(URL, ORDER, headers=KEY)

    response = api.post(URL, ORDER | {"definition": "samples.other"}, headers=KEY)
    assert_problem(response, 422, "idempotency_key_reused")
    assert Saga.objects.count() == 1


def test_a_project_may_insist_on_keys(api, trip, settings):
    settings.SAGAS = settings.SAGAS | {"REQUIRE_IDEMPOTENCY_KEY": True}

    assert_problem(api.post(URL, ORDER), 400, "idempotency_key_required")
    assert api.post(URL, ORDER, headers=KEY).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_a_lock_that_is_held_refuses_a_saga_that_does_not_wait(api, define):
    definition = define(
        step("a"), name="samples.locked", input=OrderInput, locks=["{order_id}"], on_locked=REFUSE
    )
    holder = start(definition, {"order_id": "17"})

    response = api.post(URL, ORDER | {"definition": "samples.locked"})
    body = assert_problem(response, 409, "lock_held")
    assert body["holder"]["id"] == str(holder.pk)
    assert api.get(body["holder"]["url"]).status_code == 200


# Operations


def test_a_repeated_operation_is_done_once(api, sagas):
    saga = sagas.failed()

    first = api.post(operation_url(saga, "retry"), headers=KEY)
    again = api.post(operation_url(saga, "retry"), headers=KEY)
    assert (first.status_code, "Idempotency-Replayed" in first) == (202, False)
    assert (again.status_code, again["Idempotency-Replayed"]) == (202, "true")
    assert again.json() == first.json()
    assert len(told(saga, "act")) == 1


def test_a_key_of_an_operation_is_for_one_body(api, sagas):
    saga = sagas.failed()
    api.post(operation_url(saga, "retry"), {"reason": "a"}, headers=KEY)

    response = api.post(operation_url(saga, "retry"), {"reason": "b"}, headers=KEY)
    assert_problem(response, 422, "idempotency_key_reused")


def test_a_key_is_for_one_address_and_one_client(api, sagas, users):
    saga, other = sagas.failed(), sagas.failed()
    olga = APIClient()
    olga.force_authenticate(users.staff("abandon_saga", username="olga"))

    api.post(operation_url(saga, "retry"), headers=KEY)
    for response in (
        api.post(operation_url(other, "retry"), headers=KEY),
        api.post(operation_url(saga, "suspend"), headers=KEY),
        olga.post(operation_url(saga, "abandon"), headers=KEY),
    ):
        assert response.status_code == 202
        assert "Idempotency-Replayed" not in response


def test_a_refusal_is_recorded_and_takes_no_key(api, sagas):
    saga = sagas.completed()

    assert_problem(api.post(operation_url(saga, "retry"), headers=KEY), 409, "invalid_state")
    assert len(told(saga, "refusal")) == 1
    assert not IdempotencyRecord.objects.exists()


def test_records_of_keys_have_an_end(api, sagas):
    api.post(operation_url(sagas.failed(), "retry"), headers=KEY)
    record = IdempotencyRecord.objects.get()

    assert record.expires_at is not None
    IdempotencyRecord.objects.update(expires_at=record.created_at)
    assert purge_expired() == 1


def test_a_repeated_order_is_placed_once(api):
    Product.objects.create(sku="teapot", name="Teapot", price="24.90")
    order = {"email": "customer@example.com", "lines": [{"sku": "teapot", "quantity": 2}]}
    first = api.post("/api/v1/orders/", order, headers=KEY)
    again = api.post("/api/v1/orders/", order, headers=KEY)

    assert first.status_code == again.status_code == 201
    assert (again["Idempotency-Replayed"], again.json()) == ("true", first.json())
    assert Order.objects.count() == 1
    other = order | {"email": "other@example.com"}
    assert_problem(api.post("/api/v1/orders/", other, headers=KEY), 422, "idempotency_key_reused")


# At the same moment


def at_once(user: User, ask: Callable[[APIClient], Any]) -> list[Any]:
    """Ask from as many threads, each with a connection of its own."""
    ready = Barrier(AT_ONCE)

    def run() -> Any:
        client = APIClient()
        client.force_authenticate(user)
        try:
            ready.wait()
            return ask(client)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return [asked.result() for asked in [threads.submit(run) for _ in range(AT_ONCE)]]


@pytest.mark.django_db(transaction=True)
def test_fifty_starts_with_one_key_at_once_are_one(root, trip):
    answers = at_once(root, lambda client: client.post(URL, ORDER, headers=KEY))

    assert {answer.status_code for answer in answers} == {202}
    assert len({json.dumps(answer.json(), sort_keys=True) for answer in answers}) == 1
    assert Saga.objects.count() == 1
    assert sum("Idempotency-Replayed" not in answer for answer in answers) == 1


@pytest.mark.django_db(transaction=True)
def test_fifty_operations_with_one_key_at_once_are_one(root, sagas):
    saga = sagas.failed()
    answers = at_once(root, lambda client: client.post(operation_url(saga, "retry"), headers=KEY))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(told(saga, "act")) == 1
    assert sum("Idempotency-Replayed" not in answer for answer in answers) == 1


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_a_request_that_waits_for_its_twin_too_long_is_told_to_come_again(root, api, trip, monkeypatch):
    monkeypatch.setattr("sagas.api.repeats.PATIENCE", A_MOMENT)
    with ThreadPoolExecutor(1) as thread, transaction.atomic():
        twin = api.post(URL, ORDER, headers=KEY)
        assert twin.status_code == 202  # And not committed yet.

        def ask() -> Any:
            client = APIClient()
            client.force_authenticate(root)
            try:
                return client.post(URL, ORDER, headers=KEY)
            finally:
                connections.close_all()

        response = thread.submit(ask).result()

    assert_problem(response, 409, "request_in_progress")
    assert response["Retry-After"] == "1"
    assert api.post(URL, ORDER, headers=KEY).json()["id"] == twin.json()["id"]
