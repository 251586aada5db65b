"""What can be started, over HTTP."""

from __future__ import annotations

from decimal import Decimal

import pytest
from rest_framework import serializers
from rest_framework.test import APIClient

from orders.sagas import PlaceOrder
from sagas import Parallel
from sagas.api.schemas import input_schema
from sagas.definitions.pictures import mermaid
from tests.doors.test_api_start import assert_problem
from tests.samples import BANK, definition_of, step

pytestmark = pytest.mark.django_db

URL = "/api/v1/saga-definitions/"


def test_definitions_are_listed_with_their_steps_and_their_input(api, define):
    define(step("book"), step("pay", participant=BANK, pivot=True), name="samples.told", key=None)

    listed = {each["name"]: each for each in api.get(URL).json()}
    assert {"orders.place_order", "orders.return_order"} <= set(listed)
    told = listed["samples.told"]
    assert (told["version"], told["start_permission"], told["may_start"]) == (1, "sagas.start_saga", True)
    book, pay = told["steps"]
    assert (book["stage"], book["undoable"], book["pivot"], book["participant"]) == (0, True, False, None)
    assert (pay["stage"], pay["undoable"], pay["pivot"], pay["participant"]) == (1, False, True, "bank")
    assert told["input_schema"]["type"] == "object"
    assert told["graph"].startswith("flowchart LR")


def test_whether_one_may_start_it_is_said(users, define):
    define(step("a"), name="samples.guarded", start_permission="sagas.abandon_saga")
    client = APIClient()
    client.force_authenticate(users.staff("view_saga", "start_saga"))

    listed = {each["name"]: each["may_start"] for each in client.get(URL).json()}
    assert (listed["samples.guarded"], listed["orders.place_order"]) == (False, True)


@pytest.mark.parametrize(("codenames", "status"), [(None, 401), ((), 403), (("view_saga",), 200)])
def test_reading_takes_the_permission_to_view(users, codenames, status):
    client = APIClient()
    if codenames is not None:
        client.force_authenticate(users.staff(*codenames))

    response = client.get(URL)
    assert response.status_code == status
    if status == 403:
        assert_problem(response, 403, "permission_denied")


def test_no_statement_is_needed_but_those_that_know_the_user(api, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert api.get(URL).status_code == 200


class Everything(serializers.Serializer):
    name = serializers.CharField(max_length=20, help_text="How it is called.")
    note = serializers.CharField(allow_blank=True, required=False)
    number = serializers.IntegerField(min_value=1, max_value=9, default=3)
    price = serializers.DecimalField(max_digits=6, decimal_places=2, min_value=Decimal("0.01"))
    when = serializers.DateTimeField(allow_null=True)
    colour = serializers.ChoiceField(choices=["red", "blue"])
    tags = serializers.ListField(child=serializers.SlugField(), allow_empty=False)
    made = serializers.CharField(read_only=True)
    free = serializers.JSONField()


def test_an_input_is_described_as_json_schema():
    schema = input_schema(Everything)

    assert schema["additionalProperties"] is False
    assert schema["required"] == ["name", "price", "when", "colour", "tags", "free"]
    properties = schema["properties"]
    assert properties["name"] == {
        "type": "string",
        "maxLength": 20,
        "minLength": 1,
        "description": "How it is called.",
    }
    assert properties["note"] == {"type": "string"}
    assert properties["number"] == {"type": "integer", "minimum": 1, "maximum": 9, "default": 3}
    assert properties["price"] == {"type": "string", "format": "decimal"}
    assert properties["when"] == {"type": ["string", "null"], "format": "date-time"}
    assert properties["colour"] == {"type": "string", "enum": ["red", "blue"]}
    assert properties["tags"]["minItems"] == 1
    assert properties["tags"]["items"]["type"] == "string"
    assert properties["free"] == {}
    assert "made" not in properties


def test_nested_inputs_are_described_too():
    lines = input_schema(PlaceOrder.input)["properties"]["lines"]

    assert lines["type"] == "array"
    assert lines["minItems"] == 1
    assert lines["items"]["properties"]["quantity"] == {"type": "integer", "minimum": 1}


def test_a_definition_is_drawn():
    drawn = mermaid(
        definition_of(step("ask", read_only=True), Parallel(step("a"), step("b")), step("pay", pivot=True))
    )

    assert drawn.splitlines() == [
        "flowchart LR",
        "    started([started]) --> s0",
        '    s0["ask"]',
        "    s0 --> s1",
        "    s0 --> s2",
        '    s1["a"]',
        '    s2["b"]',
        "    s1 --> s3",
        "    s2 --> s3",
        '    s3{{"pay"}}',
        "    s3 --> completed([completed])",
        '    s1 -.-> us1["undo_a"]',
        '    s2 -.-> us2["undo_b"]',
    ]
