"""A saga is not started with what is not understood or cannot be stored."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework import serializers

from sagas import start, start_many
from sagas.exceptions import (
    InputRefused,
    NotStorable,
)
from sagas.models import Saga
from tests.samples import Nothing, step

pytestmark = pytest.mark.django_db


class Anything(serializers.Serializer[Any]):
    """An input that would take what cannot be stored."""

    payload = serializers.JSONField()


class Span(serializers.Serializer[Any]):
    """An input one field of which is looked at beside the other."""

    first = serializers.IntegerField()
    last = serializers.IntegerField()

    def validate_last(self, last: int) -> int:
        if last < int(self.initial_data["first"]):
            raise serializers.ValidationError("It comes before the first.")
        return last


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_stored_is_json_with_money_as_text(orders):
    saga = start(orders, {"order_id": 7, "amount": 5})
    saga.refresh_from_db()
    assert saga.input == {"order_id": "7", "amount": "5.00"}


def test_an_unknown_field_is_refused(orders):
    with pytest.raises(InputRefused) as refusal:
        start(orders, {"order_id": "7", "ammount": "5", "x": 1})
    assert str(refusal.value) == (
        "samples.trip was not started: its input has no field 'ammount', 'x'. It takes amount, order_id."
    )
    assert refusal.value.errors == {
        "ammount": ["This field is not known."],
        "x": ["This field is not known."],
    }


def test_an_invalid_value_is_refused(orders):
    with pytest.raises(InputRefused) as refusal:
        start(orders, {"amount": "a lot"})
    assert str(refusal.value) == (
        "samples.trip was not started: its input is refused. order_id: This field is required.; amount: "
        "A valid number is required."
    )
    assert refusal.value.errors == {
        "order_id": ["This field is required."],
        "amount": ["A valid number is required."],
    }


@pytest.mark.parametrize(
    "data",
    [
        float("nan"),
        {"a": float("-inf")},
        "a\x00b",
        ["\ud800"],
        2**63,
        "x" * 300_000,
        nested(65),
        nested(5_000),
    ],
    ids=["nan", "inf", "nul", "surrogate", "64 bits", "large", "deep", "very deep"],
)
def test_what_no_database_stores_is_refused(define, data):
    with pytest.raises((InputRefused, NotStorable), match=r"samples\.trip"):
        start(define(step("book"), input=Anything), {"payload": data})
    assert not Saga.objects.exists()


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("key", "a\x00b"),
        ("key", "\ud800"),
        ("correlation_id", "a\x00b"),
        ("correlation_id", "\ud800"),
        ("idempotency_key", "\ud800"),
    ],
)
def test_text_that_no_database_stores_is_refused(define, option, text):
    with pytest.raises(InputRefused):
        start(define(step("book")), {}, **{option: text})


def test_of_many_inputs_each_is_looked_at_by_itself(define):
    spans = define(step("a"), input=Span)
    good = [{"first": number, "last": str(number + 1)} for number in (5, 1, 3)]
    sagas = start_many(spans, good)
    assert [saga.input for saga in sagas] == [{"first": n, "last": n + 1} for n in (5, 1, 3)]
    with pytest.raises(InputRefused, match=r"refused. last: It comes before the first\.$"):
        start_many(spans, [*good, {"first": 7, "last": 6}])


def test_an_input_without_fields_is_an_empty_one(define):
    saga = start(define(step("book"), input=Nothing), {})
    saga.refresh_from_db()
    assert saga.input == {}
