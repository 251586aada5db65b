"""Problems: each kind has a page, and what is the server's fault says nothing of its insides."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from django.core.signals import got_request_exception
from django.db import OperationalError

import sagas.api
from sagas.api.kinds import KINDS
from sagas.operations import catalogue
from tests.doors.test_api_start import ORDER, URL, assert_problem

pytestmark = pytest.mark.django_db

PAGES = "/api/v1/problems/"
NO_SAGA = "01a20d86-dd93-77f4-8eed-43d05ba264a7"


def test_all_kinds_are_on_one_page(client):
    page = client.get(PAGES)

    assert page.status_code == 200
    for code, kind in KINDS.items():
        assert f"{PAGES}{code.replace('_', '-')}/" in page.content.decode()
        assert kind.title in page.content.decode()


@pytest.mark.parametrize("code", KINDS)
def test_a_kind_has_a_page_that_says_what_to_do(client, code):
    page = client.get(f"{PAGES}{code.replace('_', '-')}/")

    assert page.status_code == 200
    assert str(KINDS[code].what_to_do) in page.content.decode()


def test_there_is_no_page_of_another_kind(client):
    problem = assert_problem(client.get(f"{PAGES}nonsense/"), 404, "not_found")
    assert "no kind of problem nonsense" in problem["detail"]


NOWHERE = (
    "",
    "nonsense/",
    "nonsense",
    f"sagas/{NO_SAGA}/nonsense/",
    f"sagas/{NO_SAGA}/retry/now",
    "orders/7/x/",
    "%0A/",
)


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("path", NOWHERE)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_an_address_where_nothing_is_is_a_problem_too(client, settings, debug, path, method):
    settings.DEBUG = debug
    for accepted in ("application/json", "text/html", "application/xml"):
        response = client.generic(method, f"/api/v1/{path}", headers={"Accept": accepted})
        problem = assert_problem(response, 404, "not_found")
        assert problem["detail"].startswith(f"There is nothing at /api/v1/{unquote(path)}. Compare it with")


@pytest.mark.parametrize("debug", [True, False])
def test_an_address_without_its_slash_leads_to_the_one_with_it(api, settings, debug):
    settings.DEBUG = debug
    assert api.get(f"{URL.rstrip('/')}?status=failed").headers["Location"] == f"{URL}?status=failed"
    problem = assert_problem(api.post(URL.rstrip("/"), ORDER), 404, "not_found")
    assert problem["detail"] == "There is nothing at /api/v1/sagas. Ask /api/v1/sagas/, with the slash."
    settings.APPEND_SLASH = False
    assert_problem(api.get(URL.rstrip("/")), 404, "not_found")


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("sagas/", "GET, POST, HEAD, OPTIONS"),
        (f"sagas/{NO_SAGA}/retry/", "POST, OPTIONS"),
        ("stats/", "GET, HEAD, OPTIONS"),
        ("problems/", "GET, HEAD, OPTIONS"),
        ("problems/not-found/", "GET, HEAD, OPTIONS"),
        ("orders/", "GET, POST, HEAD, OPTIONS"),
    ],
)
def test_a_method_that_is_not_for_an_address_is_told_which_are(client, settings, debug, path, allowed):
    settings.DEBUG = debug
    response = client.put(f"/api/v1/{path}")
    problem = assert_problem(response, 405, "method_not_allowed")
    assert problem["detail"] == f"PUT is not for /api/v1/{path}, which takes {allowed}."
    assert response["Allow"] == allowed


def test_the_type_of_a_problem_leads_to_its_page(api, client, sagas):
    problem = api.post(f"{URL}{sagas.completed().pk}/retry/").json()

    assert "current_status" in client.get(problem["type"]).content.decode()


def test_a_project_may_keep_the_pages_elsewhere(api, settings):
    settings.SAGAS = settings.SAGAS | {"PROBLEM_BASE": "https://docs.example/problems/"}

    assert api.get(f"{URL}nothing/").json()["type"] == "https://docs.example/problems/not-found"


def test_every_code_in_the_source_has_its_kind():
    """Whatever refuses says a code, and the code has a title and a page."""
    folders = [Path(sagas.api.__file__).parent, Path(catalogue.__file__).parent]
    text = "\n".join(path.read_text() for folder in folders for path in folder.glob("*.py"))
    codes = set(re.findall(r'Refusal\(\s*"(\w+)"', text)) | set(re.findall(r'default_code = "(\w+)"', text))

    assert codes
    assert codes - {"unknown_definition"} <= set(KINDS)


@pytest.fixture
def broken(monkeypatch):
    """An API whose operations fail, and what its log says."""

    def break_with(error: Exception) -> None:
        def fail(*args, **options):
            raise error

        monkeypatch.setattr("sagas.api.viewsets.start", fail)

    return break_with


def test_a_fault_of_the_servers_is_a_problem_without_its_insides(api, trip, broken, caplog):
    broken(RuntimeError("the password is xyzzy"))
    heard = []

    def hear(**options: object) -> None:
        heard.append(options)

    api.raise_request_exception = False
    got_request_exception.connect(hear)
    try:
        with caplog.at_level(logging.ERROR, logger="sagas.api"):
            response = api.post(URL, ORDER)
    finally:
        got_request_exception.disconnect(hear)

    body = assert_problem(response, 500, "server_error")
    assert "xyzzy" not in response.content.decode()
    assert re.fullmatch("[0-9a-f]{32}", body["trace_id"])
    assert body["trace_id"] in caplog.text
    assert "xyzzy" in caplog.text
    assert len(heard) == 1  # What else listens for failed requests hears of it as ever.


def test_a_client_that_traces_is_told_its_own_number(api, trip, broken):
    broken(RuntimeError("no"))
    api.raise_request_exception = False
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    response = api.post(URL, ORDER, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert response.json()["trace_id"] == trace


def test_a_wrong_definition_is_the_servers_fault(api, define):
    from sagas import Step
    from tests.samples import _function

    define(Step(_function("a", "a", False)), name="samples.wrong")
    api.raise_request_exception = False

    response = api.post(URL, {"definition": "samples.wrong", "input": {}})
    assert_problem(response, 500, "definition_error")


def test_a_database_that_does_not_answer_is_told_apart(api, trip, broken):
    broken(OperationalError("the server has gone away"))

    response = api.post(URL, ORDER)
    assert_problem(response, 503, "unavailable")
    assert response["Retry-After"] == "1"
    assert "gone away" not in response.content.decode()
