"""JSON bodies that no endpoint takes: each a problem, none an error of the server's."""

from __future__ import annotations

import json

import pytest

from sagas.canonical import MAX_BYTES, MAX_DEPTH
from sagas.models import InboxMessage, Saga
from tests.doors.test_api_start import ORDER, assert_problem

pytestmark = pytest.mark.django_db

ENDPOINTS = ("sagas/", "sagas/{saga}/retry/", "sagas/{saga}/events/", "holds/", "orders/")


def nested(levels: int) -> str:
    return '{"input": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


REFUSED = {
    "nothing": (b" ", 400, "parse_error"),
    "half an object": (b'{"reason": ', 400, "parse_error"),
    "two values": (b"{} {}", 400, "parse_error"),
    "a name twice": (b'{"reason": "a", "reason": "b"}', 400, "parse_error"),
    "a name twice inside": (b'{"input": {"a": 1, "a": 1}}', 400, "parse_error"),
    "NaN": (b'{"input": NaN}', 400, "parse_error"),
    "Infinity": (b'{"input": -Infinity}', 400, "parse_error"),
    "a byte that is no UTF-8": (b'{"reason": "\xff"}', 400, "parse_error"),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400, "parse_error"),
    "5 000 brackets": (b"[" * 5000, 400, "parse_error"),
    "50 000 brackets": (b"[" * 50_000 + b"]" * 50_000, 400, "parse_error"),
    "an endless number": (b'{"input": ' + b"9" * 5000 + b"}", 400, "parse_error"),
    "one level too many": (nested(MAX_DEPTH + 1).encode(), 400, "not_storable"),
    "infinity in digits": (b'{"input": 1e999}', 400, "not_storable"),
    "more than 64 bits": (b'{"input": 9223372036854775808}', 400, "not_storable"),
    "NUL": (b'{"reason": "a\\u0000b"}', 400, "not_storable"),
    "NUL in a name": (b'{"a\\u0000b": 1}', 400, "not_storable"),
    "half a character": (b'{"reason": "\\ud800"}', 400, "not_storable"),
    "too many bytes": (b'{"reason": "' + b"x" * MAX_BYTES + b'"}', 413, "payload_too_large"),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("body", REFUSED)
def test_no_endpoint_takes_it(api, sagas, endpoint, body):
    text, status, code = REFUSED[body]
    saga = sagas.waiting()
    before = Saga.objects.count()

    url = f"/api/v1/{endpoint.format(saga=saga.pk)}"
    response = api.generic("POST", url, text, content_type="application/json")

    problem = assert_problem(response, status, code)
    assert problem["instance"] == url
    assert Saga.objects.count() == before
    assert not InboxMessage.objects.exists()


@pytest.mark.parametrize("text", ["[]", "7", '"text"', "null", "true"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_body_is_an_object(api, sagas, endpoint, text):
    url = f"/api/v1/{endpoint.format(saga=sagas.waiting().pk)}"

    assert_problem(api.generic("POST", url, text, content_type="application/json"), 400, "validation_error")


def test_the_deepest_and_the_largest_are_taken(api, trip, define):
    deep = json.loads(nested(MAX_DEPTH - 1))["input"]
    response = api.post("/api/v1/sagas/", ORDER | {"input": {"order_id": "1", "deep": deep}})
    assert_problem(response, 400, "input_refused")  # It has passed the gate.

    padding = " " * (MAX_BYTES - len(json.dumps(ORDER)))
    response = api.generic(
        "POST", "/api/v1/sagas/", json.dumps(ORDER) + padding, content_type="application/json"
    )
    assert response.status_code == 202
