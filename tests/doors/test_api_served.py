"""The API behind a real ASGI server, and processes that die at the worst moment."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.http import HttpResponse
from django.test import RequestFactory
from rest_framework.authtoken.models import Token

from sagaproject.asgi import Handler
from sagas import start
from sagas.models import Saga
from sagas.operations.performing import perform
from tests.processes.conftest import address
from tests.samples import postgresql_only
from tests.served import Served

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]

RETURN: dict[str, Any] = {
    "definition": "orders.return_order",
    "input": {"order_id": "6b1f5f0e-7e8c-4f5a-9b0a-0d8e5a2f3c11"},
}
AT_ONCE = 50
ONE_BY_ONE = 5
LONG = 60


@pytest.fixture
def headers(root: User) -> dict[str, str]:
    return {"Authorization": f"Token {Token.objects.create(user=root).key}"}


@pytest.fixture
def server(transactional_db: None) -> Iterator[Served]:
    with Served(environment=environment()) as served:
        yield served
    connections.close_all()


def environment() -> dict[str, str]:
    return {"DATABASE_URL": address(), "LOG_LEVEL": "CRITICAL"}


class Answer:
    """What a server answered."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = json.loads(response.read())


def ask(server: Served, method: str, path: str, headers: dict[str, str], body: Any = None) -> Answer:
    place = urlsplit(server.url)
    client = http.client.HTTPConnection(str(place.hostname), place.port, timeout=LONG)
    try:
        text = None if body is None else json.dumps(body)
        client.request(method, path, text, headers | {"Content-Type": "application/json"})
        return Answer(client.getresponse())
    finally:
        client.close()


def test_fifty_starts_with_one_key_are_one_saga_and_one_answer(server, headers):
    keyed = headers | {"Idempotency-Key": "abc"}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        asked = [threads.submit(ask, server, "POST", "/api/v1/sagas/", keyed, RETURN) for _ in range(AT_ONCE)]
        answers = [each.result() for each in asked]

    assert {answer.status for answer in answers} == {202}
    assert len({json.dumps(answer.body, sort_keys=True) for answer in answers}) == 1
    assert Saga.objects.count() == 1
    other = RETURN | {"input": {"order_id": "6b1f5f0e-7e8c-4f5a-9b0a-0d8e5a2f3c12"}}
    assert ask(server, "POST", "/api/v1/sagas/", keyed, other).status == 422


def test_a_start_whose_answer_was_never_sent_is_found_when_it_is_repeated(headers):
    keyed = headers | {"Idempotency-Key": "abc"}
    with Served("tests.doors.dying:application", environment=environment()) as dying:
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            ask(dying, "POST", "/api/v1/sagas/", keyed, RETURN)
        assert [process.wait(LONG) for process in dying.processes] == [9]
    [saga] = Saga.objects.all()

    with Served(environment=environment()) as server:
        answer = ask(server, "POST", "/api/v1/sagas/", keyed, RETURN)
    assert (answer.status, answer.body["id"]) == (202, str(saga.pk))
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert Saga.objects.count() == 1
    connections.close_all()


def test_who_waits_keeps_nobody_from_being_answered(server, headers):
    """Far more clients wait than the server has threads."""
    saga = start(RETURN["definition"], RETURN["input"])
    path = f"/api/v1/sagas/{saga.pk}/"
    # With what they have seen: one that comes late would wait for the change after this one.
    waiting = headers | {"Prefer": f"wait={LONG}", "If-None-Match": '"0"'}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        asked = [threads.submit(ask, server, "GET", path, waiting) for _ in range(AT_ONCE)]
        for _ in range(ONE_BY_ONE):
            assert ask(server, "GET", path, headers).status == 200
        assert not any(each.done() for each in asked)
        perform(saga.pk, "suspend", by=None)
        answers = [each.result() for each in asked]

    assert {(answer.status, answer.body["status"]) for answer in answers} == {(200, "suspended")}


@postgresql_only
def test_who_waits_is_answered_too_when_the_database_has_ended_connections(server, headers):
    saga = start(RETURN["definition"], RETURN["input"])
    for _ in range(2):
        answer = ask(server, "GET", f"/api/v1/sagas/{saga.pk}/", headers | {"Prefer": "wait=1"})
        assert answer.status == 200
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


def test_what_happens_is_streamed(server, headers):
    saga = start(RETURN["definition"], RETURN["input"])
    place = urlsplit(server.url)
    client = http.client.HTTPConnection(str(place.hostname), place.port, timeout=LONG)
    client.request("GET", f"/api/v1/sagas/{saga.pk}/stream/", headers=headers)
    response = client.getresponse()
    assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
    while b"event: saga\n" not in response.readline():
        pass
    perform(saga.pk, "abandon", by=None)

    rest = response.read().decode()  # It ends by itself.
    client.close()
    entry = saga.history.get(operation="abandon")
    assert f"id: {entry.pk}\nevent: history\n" in rest
    assert '"status": "abandoned"' in rest


def test_a_connection_that_has_just_answered_is_not_asked_whether_it_would():
    handler = Handler()
    checked: list[bool] = []

    def answer(request: Any) -> HttpResponse:
        checked.append(connection.health_check_done)  # type: ignore[attr-defined]
        connection.ensure_connection()
        return HttpResponse()

    handler._sync.get_response = answer  # type: ignore[method-assign]

    def respond() -> None:
        for _ in range(2):
            handler._respond(RequestFactory().get("/"))  # type: ignore[arg-type]
        handler._known.until = 0
        handler._respond(RequestFactory().get("/"))  # type: ignore[arg-type]
        connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(respond).result()
    assert checked[1:] == [True, False]


def test_a_client_that_leaves_does_not_end_what_it_asked_for(server, headers):
    place = urlsplit(server.url)
    for number in range(20):
        client = http.client.HTTPConnection(str(place.hostname), place.port, timeout=LONG)
        order = f"6b1f5f0e-7e8c-4f5a-9b0a-0d8e5a2f3c{number:02}"
        text = json.dumps(RETURN | {"input": {"order_id": order}})
        client.request("POST", "/api/v1/sagas/", text, headers | {"Content-Type": "application/json"})
        client.close()

    again = ask(server, "GET", "/api/v1/sagas/?page_size=50", headers)
    assert again.status == 200
    # Each was carried out as a whole or not at all.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*) FROM sagas_saga WHERE steps_total <> "
            "(SELECT COUNT(*) FROM sagas_sagastep WHERE saga_id = sagas_saga.id)"
        )
        assert cursor.fetchone() == (0,)
