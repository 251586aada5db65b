"""Every address of the API as a table: its success, and what any of them answers to the same mistakes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.backends import BaseBackend
from django.core.cache import cache
from django.urls import URLPattern
from rest_framework.settings import api_settings
from rest_framework.test import APIClient

from orders.models import Product
from sagas.api import urls
from sagas.api.operating import ALIASES
from sagas.models import InboxMessage, InboxStatus
from sagas.operations.catalogue import OPERATIONS
from sagas.operations.drafting import draft
from sagas.operations.holding import hold
from sagas.operations.selection import Selection
from tests.doors.test_api_events import event
from tests.doors.test_api_operations import NEEDED
from tests.doors.test_api_start import ORDER, assert_problem

pytestmark = pytest.mark.django_db

ROOT = "/api/v1/"


@dataclass(frozen=True)
class Row:
    """An address: how it is asked, and what it answers to somebody with all permissions."""

    method: str
    path: str
    success: int
    of: str = ""
    """What has to be there, by the name of a method of `Shop`."""
    body: dict[str, Any] | None = None
    bound: str | None = None
    """The scope that a project may bound it by."""
    headers: set[str] = field(default_factory=set)
    """What the answer must have beside its body."""

    @property
    def name(self) -> str:
        """Return what the row is called in a report."""
        return f"{self.method} {self.path}"


OPERATED = {"ETag", "Retry-After"}
RETRY = {"operation": "retry", "filter": {"status": "failed"}}
TEAPOT = {"email": "customer@example.com", "lines": [{"sku": "teapot", "quantity": 2}]}
ROWS = [
    Row("GET", "saga-definitions/", 200),
    Row("POST", "sagas/", 202, "trip", ORDER, "saga-start", {"Location", *OPERATED}),
    Row("GET", "sagas/", 200, "failed"),
    Row("GET", "sagas/{id}/", 200, "pending", headers={"ETag", "Retry-After"}),
    Row("GET", "sagas/{id}/steps/", 200, "failed", headers={"ETag"}),
    Row("GET", "sagas/{id}/history/", 200, "failed"),
    Row("GET", "sagas/{id}/timeline/", 200, "failed"),
    Row("GET", "sagas/{id}/stream/", 406, "failed"),  # Not under ASGI here: see test_api_waiting.py.
    Row("GET", "sagas/{id}/operations/", 200, "failed"),
    Row("GET", "sagas/{id}/operations/retry/", 200, "failed"),
    *(
        Row("POST", f"sagas/{{id}}/{name}/", 202, name, NEEDED.get(name), "saga-operate", OPERATED)
        for name in (*OPERATIONS, *ALIASES)
    ),
    Row("POST", "sagas/{id}/events/", 202, "waiting", event(), "saga-operate"),
    Row("GET", "batches/", 200, "batch"),
    Row("POST", "batches/", 200, "failed", RETRY, "saga-operate"),
    Row("GET", "batches/{id}/", 200, "batch"),
    Row("GET", "batches/{id}/items/", 200, "batch"),
    *(Row("POST", f"batches/{{id}}/{act}/", 202, "batch", None, "saga-operate") for act in ("start", "stop")),
    *(  # It has not begun.
        Row("POST", f"batches/{{id}}/{act}/", 409, "batch", None, "saga-operate")
        for act in ("suspend", "resume")
    ),
    Row("GET", "holds/", 200),
    Row("POST", "holds/", 201, "trip", {"definition": "samples.trip"}, "saga-operate"),
    Row("DELETE", "holds/{id}/", 200, "hold", None, "saga-operate"),
    Row("GET", "outbox/", 200),
    Row("GET", "dead-letters/", 200, "letter"),
    Row("GET", "dead-letters/{id}/", 200, "letter"),
    *(
        Row("POST", f"dead-letters/{{id}}/{act}/", 202, "letter", {"reason": "mended"}, "saga-operate")
        for act in ("requeue", "resolve")
    ),
    Row("GET", "deliveries/", 200, "due"),
    Row("GET", "deliveries/{id}/", 200, "due"),
    *(
        Row("POST", f"deliveries/{{id}}/{act}/", 202, of, {"reason": "mended"}, "saga-operate")
        for act, of in (("hold", "due"), ("release", "held"))
    ),
    Row("GET", "stats/", 200, headers={"Cache-Control"}),
    Row("POST", "orders/", 201, "product", TEAPOT, "saga-start", {"Location"}),
    Row("GET", "orders/", 200),
]
OPEN = {"health/", "events/", "callbacks//"}
"""Addresses that ask for no user: see test_api_figures, test_api_publishing and test_api_callbacks."""


def rows(*rows: Row) -> pytest.MarkDecorator:
    """Have a test done for each of these rows."""
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


every_row = rows(*ROWS)
posted = rows(*(row for row in ROWS if row.method == "POST"))


@pytest.fixture
def made(sagas, trip):
    """Return what makes the thing that a row is about, and the row's address."""

    def make(row: Row) -> str:
        return ROOT + row.path.format(id=_id(row.of))

    def _id(of: str) -> Any:
        match of:
            case "" | "trip":
                return None
            case "batch":
                sagas.failed()
                return draft("retry", Selection(filter={"status": "failed"}), by="code").pk
            case "hold":
                return hold(definition="samples.trip", by=None).pk
            case "letter" | "due" | "held":
                status = InboxStatus.DEAD if of == "letter" else InboxStatus(of)
                return InboxMessage.objects.create(
                    event_id=event()["id"], subscriber="s", topic="t", status=status
                ).pk
            case "product":
                return Product.objects.create(sku="teapot", name="Teapot", price="24.90").pk
            case _ if ALIASES.get(of, of) in OPERATIONS:
                return sagas.allowing(ALIASES.get(of, of)).pk
        return getattr(sagas, of)().pk

    return make


def ask(client: Any, row: Row, url: str, **options: Any) -> Any:
    if row.body is None:
        return client.generic(row.method, url, **options)
    return client.post(url, row.body, format="json", **options)


def test_every_address_is_in_the_table():
    told = {re.sub(r"{\w+}", "", row.path) for row in ROWS} | OPEN
    for pattern in urls.urlpatterns:
        assert isinstance(pattern, URLPattern)
        path = re.sub(r"<[^>]+>|\(\?P[^)]+\)|[\^$]|\\Z", "", str(pattern.pattern))
        path = "sagas//operations/retry/" if path == "sagas//operations//" else path
        assert path in told or "problem" in path or pattern.name == "saga-not-here"


@every_row
def test_it_answers_whoever_may(api, made, row):
    response = ask(api, row, made(row))

    assert response.status_code == row.success, response.content
    assert {name for name in row.headers if name in response} == row.headers
    if row.success >= 400:
        assert response["Content-Type"] == "application/problem+json"


@every_row
def test_a_stranger_is_told_how_to_be_known(made, row):
    response = ask(APIClient(), row, made(row))

    assert_problem(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Token"


@every_row
def test_whoever_lacks_the_permission_is_told(users, made, row):
    client = APIClient()
    client.force_authenticate(users.staff())

    assert "ermission" in assert_problem(ask(client, row, made(row)), 403, "permission_denied")["detail"]


@every_row
def test_another_method_is_not_for_it_whoever_asks(made, row):
    url = made(row)
    allowed = APIClient().options(url).headers.get("Allow", "")
    assert_problem(APIClient().patch(url), 405, "method_not_allowed")
    assert "PATCH" not in allowed


@every_row
def test_only_json_is_spoken(api, made, row):
    if row.path.endswith("/stream/"):
        return  # Whoever streams accepts what that is.
    assert_problem(ask(api, row, made(row), headers={"Accept": "application/xml"}), 406, "not_acceptable")


@posted
def test_only_json_is_understood(api, made, row):
    response = api.generic("POST", made(row), "<saga/>", content_type="application/xml")
    assert_problem(response, 415, "unsupported_media_type")


@posted
def test_a_field_that_nobody_knows_is_refused(api, made, row):
    body = assert_problem(
        api.post(made(row), (row.body or {}) | {"colour": "red"}, format="json"), 400, "validation_error"
    )
    assert [(each["pointer"], each["code"]) for each in body["errors"]] == [("/colour", "unknown_field")]


@rows(*(row for row in ROWS if row.bound))
def test_a_project_may_bound_it(api, made, row, settings):
    assert row.bound is not None
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {row.bound: "1/hour"}}
    api_settings.reload()
    cache.clear()
    url = made(row)
    try:
        assert ask(api, row, url).status_code == row.success
        response = ask(api, row, url)
    finally:
        cache.clear()
    assert_problem(response, 429, "throttled")
    assert int(response["Retry-After"]) > 0


@rows(*(row for row in ROWS if "{id}" in row.path))
def test_what_is_not_there_is_not_found(api, trip, row):
    for id in ("01a20d86-dd93-77f4-8eed-43d05ba264a7", "7", "x"):
        assert_problem(ask(api, row, ROOT + row.path.format(id=id)), 404, "not_found")


# What is not the same everywhere


def test_a_list_has_no_count(api, sagas):
    assert set(api.get(f"{ROOT}sagas/").json()) == {"next", "previous", "results"}


@pytest.mark.parametrize("given", ['W/"0"', '"7", "0"', "*"])
def test_what_was_seen_may_be_said_in_any_way_that_http_has(api, sagas, given):
    response = api.get(f"{ROOT}sagas/{sagas.pending().pk}/", headers={"If-None-Match": given})

    assert (response.status_code, response.content) == (304, b"")
    assert (response["ETag"], response["Retry-After"]) == ('"0"', "1")


def test_whoever_wants_only_what_it_has_seen_is_told_that_it_changed(api, sagas):
    url = f"{ROOT}sagas/{sagas.pending().pk}/"

    assert api.get(url, headers={"If-Match": '"0"'}).status_code == 200
    body = assert_problem(api.get(url, headers={"If-Match": '"9"'}), 412, "stale_revision")
    assert (body["current_status"], body["current_revision"]) == ("pending", 0)


class RetryOfTheFirst(BaseBackend):
    """Lets everybody retry the saga of order 1, and nothing else."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return perm == "sagas.retry_saga" and getattr(obj, "key", None) == "order:1"


def test_operations_may_be_permitted_for_single_sagas(sagas, users, settings):
    settings.AUTHENTICATION_BACKENDS = ["tests.doors.test_api_table.RetryOfTheFirst"]
    first, second = sagas.failed(), sagas.failed()
    client = APIClient()
    client.force_authenticate(users.staff())

    assert client.post(f"{ROOT}sagas/{second.pk}/retry/").status_code == 403
    assert client.post(f"{ROOT}sagas/{first.pk}/retry/").status_code == 202


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "another"}], ids=["plain", "with a key"])
@pytest.mark.parametrize(("operation", "state"), [("suspend", "suspended"), ("resume", "pending")])
def test_what_is_so_already_is_no_conflict(api, sagas, operation, state, headers):
    saga = getattr(sagas, state)()

    response = api.post(f"{ROOT}sagas/{saga.pk}/{operation}/", headers=headers)
    assert (response.status_code, response.json()["already"]) == (202, True)
    assert response.json()["status"] == state


def test_what_somebody_else_did_meanwhile_is_no_conflict(api, sagas, monkeypatch):
    saga = sagas.suspended()
    seen = iter([False])  # As it was when the request came.
    monkeypatch.setattr("sagas.api.operating._was_done", lambda *_: next(seen, True))

    response = api.post(f"{ROOT}sagas/{saga.pk}/suspend/")
    assert (response.status_code, response.json()["already"]) == (202, True)


def test_times_in_what_a_batch_keeps_end_with_a_z(api, sagas):
    sagas.failed()
    since = "2020-01-01T02:00:00+02:00"
    body = api.post(
        f"{ROOT}batches/", RETRY | {"dry_run": False, "filter": {"status": "failed", "created_after": since}}
    ).json()

    assert body["selection"]["filter"]["created_at__gt"] == "2020-01-01T00:00:00Z"
    assert body["log"][0]["at"].endswith("Z")
