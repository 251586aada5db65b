"""The OpenAPI schema, its pages, and whether bodies are as it says."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.urls import URLPattern
from drf_spectacular.validation import validate_schema

from sagas.api import urls
from sagas.api.operating import ALIASES
from sagas.operations.catalogue import OPERATIONS

pytestmark = pytest.mark.django_db

SAGAS = "/api/v1/sagas/"


@pytest.fixture
def schema(client) -> Any:
    response = client.get("/api/schema/?format=json")
    assert response.status_code == 200
    return response.json()


def test_the_schema_is_valid(schema):
    validate_schema(schema)


def test_every_address_of_the_api_is_in_it(schema):
    told = {re.sub(r"{\w+}", "", path.removeprefix("/api/v1/")) for path in schema["paths"]}
    for pattern in urls.urlpatterns:
        assert isinstance(pattern, URLPattern)
        if "problem" not in str(pattern.name) and pattern.name != "saga-not-here":  # Pages are for people.
            assert re.sub(r"<[^>]+>|\(\?P[^)]+\)|[\^$]|\\Z", "", str(pattern.pattern)) in told


@pytest.mark.parametrize("name", [*OPERATIONS, *ALIASES])
def test_every_operation_says_what_it_takes(schema, name):
    operation = schema["paths"][f"{SAGAS}{{id}}/{name}/"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    taken = schema["components"]["schemas"][body]

    arguments = OPERATIONS[ALIASES.get(name, name)].arguments
    assert set(taken["properties"]) == {"reason", *arguments}
    assert taken["additionalProperties"] is False
    assert {"202", "400", "401", "403", "404", "409", "412", "429"} <= set(operation["responses"])
    assert {each["name"] for each in operation["parameters"]} == {"id", "If-Match", "Idempotency-Key"}


def test_a_start_is_described_for_each_definition(schema):
    start = schema["components"]["schemas"]["StartRequest"]
    by_name = {each["title"]: each for each in start["oneOf"]}

    assert "lines" in by_name["orders.place_order"]["properties"]["input"]["properties"]
    assert set(by_name["orders.return_order"]["properties"]["input"]["properties"]) == {"order_id"}


BODIES = {
    "": lambda body: body["results"][0],
    "{id}/": lambda body: body,
    "{id}/steps/": lambda body: body[0],
    "{id}/history/": lambda body: body,
    "{id}/operations/": lambda body: body[0],
    "{id}/operations/{name}/": lambda body: body,
}


@pytest.mark.parametrize("path", BODIES)
def test_bodies_have_the_fields_that_the_schema_names(api, sagas, schema, path):
    saga = sagas.failed()
    described = schema["paths"][SAGAS + path]["get"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    if path == "":
        page = schema["components"]["schemas"][described["$ref"].rpartition("/")[2]]
        described = page["properties"]["results"]
    described = described.get("items", described)
    named = schema["components"]["schemas"][described["$ref"].rpartition("/")[2]]["properties"]

    url = (SAGAS + path).format(id=saga.pk, name="retry")
    body = BODIES[path](api.get(url, {"expand": "steps"} if path == "{id}/" else {}).json())
    assert set(body) == set(named)


def test_the_pages_need_no_other_server(client):
    page = client.get("/api/docs/").content.decode()

    [script] = re.findall(r'src="(/api/docs/[^"]+)"', page)
    assert "/api/schema/" in client.get(html.unescape(script)).content.decode()
    sources = [each for each in re.findall(r'(?:src|href)="([^"#]+)"', page) if each != script]
    assert sources
    for source in sources:
        assert source.startswith("/static/")
        assert finders.find(source.removeprefix("/static/"))
