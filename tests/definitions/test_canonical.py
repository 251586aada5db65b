"""The gate: what passes is stored and reads back equal, and what would not is refused in words."""

from __future__ import annotations

import datetime
import enum
import json
from collections import OrderedDict
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from sagas.canonical import MAX_BYTES, MAX_DEPTH, MAX_ERROR_CHARACTERS, canonical, clean_text, gate
from sagas.exceptions import NotStorable
from sagas.models import IdempotencyRecord

CONVERT = "Convert it to JSON types, money and dates to strings."
CLEAN = "Clean it before passing it on."


FAR = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


class Colour(enum.StrEnum):
    RED = "red"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**63 - 1, -(2**63), 0.1, -0.0, 9e15, 5e-324,
        "", "naïve ☃ 🚲", "\x01\x7f", "\\u0000", "x" * (MAX_BYTES - 2),
        [], {}, [None, [True, [1]]], {"a": {"b": [{"c": 1}]}}, {"": 1}, nested(MAX_DEPTH),
    ],
)  # fmt: skip
def test_json_passes_as_it_is(value):
    assert gate(value, "The result") is value


@pytest.mark.parametrize(
    ("value", "path", "offence", "advice"),
    [
        ("a\x00b", "/", "text with a NUL or a lone surrogate", CLEAN),
        ({"a\x00": 1}, "/", "text with a NUL or a lone surrogate", CLEAN),
        ({"a": ["\ud800"]}, "/a/0", "text with a NUL or a lone surrogate", CLEAN),
        ({"a": {"\udfff": 1}}, "/a", "text with a NUL or a lone surrogate", CLEAN),
        (float("nan"), "/", "nan", "JSON has no such number; pass null or a string."),
        ([float("inf")], "/0", "inf", "JSON has no such number; pass null or a string."),
        ({"a": -float("inf")}, "/a", "-inf", "JSON has no such number; pass null or a string."),
        (2**63, "/", "an integer beyond 64 bits", "Pass it as a string."),
        ({"n": [-(2**63) - 1]}, "/n/0", "an integer beyond 64 bits", "Pass it as a string."),
        (10**400, "/", "an integer beyond 64 bits", "Pass it as a string."),
        ({1: 2}, "/", "the key 1, which is not a string", "Use string keys."),
        ({"a": {None: 2}}, "/a", "the key None, which is not a string", "Use string keys."),
        (nested(MAX_DEPTH + 1), "/0" * MAX_DEPTH, "a value more than 64 levels deep", "Flatten it."),
        ((1, 2), "/", "a tuple", CONVERT),
        ({"price": Decimal("1.10")}, "/price", "a Decimal", CONVERT),
        ({"at": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}, "/at", "a datetime", CONVERT),
        ([b"x"], "/0", "a bytes", CONVERT),
        ({"x"}, "/", "a set", CONVERT),
        (object(), "/", "a object", CONVERT),
        (Colour.RED, "/", "a Colour", CONVERT),
        (OrderedDict(a=1), "/", "a OrderedDict", CONVERT),
    ],
    ids=lambda value: None if isinstance(value, str) and len(value) < 40 else "…",
)  # fmt: skip
def test_what_would_not_read_back_equal_is_refused_with_its_place(value, path, offence, advice):
    with pytest.raises(NotStorable) as refusal:
        gate(value, "The result")
    assert str(refusal.value) == f"The result cannot be stored: at {path} there is {offence}. {advice}"


@pytest.mark.parametrize("value", [3.889963394699943e16, 1e308, -1e17])
def test_a_number_that_comes_back_as_another_is_refused(value):
    # jsonb keeps its shortest decimal, 38899633946999430, which Python reads as an integer: another number.
    with pytest.raises(NotStorable):
        gate({"value": value}, "The result")


def test_too_much_is_refused_with_its_size():
    with pytest.raises(NotStorable) as refusal:
        gate("x" * (MAX_BYTES - 1), "The result")
    assert str(refusal.value) == (
        "The result is 262,145 bytes of JSON, more than the 262,144 that are stored. "
        "Store the bulk elsewhere and pass its id."
    )


def test_size_is_counted_in_bytes_not_characters():
    gate("é" * (MAX_BYTES // 2 - 1), "The result")
    with pytest.raises(NotStorable, match="bytes of JSON"):
        gate("é" * (MAX_BYTES // 2), "The result")


def test_a_circle_is_refused_as_too_deep():
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(NotStorable, match="levels deep"):
        gate(circle, "The result")


def test_a_hundred_thousand_levels_are_refused_without_a_recursion_error():
    with pytest.raises(NotStorable, match="levels deep"):
        gate(nested(100_000), "The result")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.django_db
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_values)
def test_what_passes_the_gate_comes_back_from_the_database_as_it_went(value):
    try:
        gated = {"value": gate(value, "The value")}
    except NotStorable:
        reject()
    with transaction.atomic():  # So that the next value finds a transaction to work in.
        record = IdempotencyRecord.objects.create(scope="", key="1", result=gated, expires_at=FAR)
        record.refresh_from_db()
        record.delete()
    assert record.result == gated


def shuffled(value: Any) -> Any:
    """Return an equal value whose dictionaries were filled the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(json_values)
def test_equal_values_have_one_text(value):
    assert canonical(value) == canonical(shuffled(value))
    assert json.loads(canonical(value)) == value
    assert canonical(json.loads(canonical(value))) == canonical(value)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("as it is", "as it is"),
        ("a\x00b\ud800c", "a\ufffdb\ufffdc"),
        ("x" * MAX_ERROR_CHARACTERS, "x" * MAX_ERROR_CHARACTERS),
        ("x" * (MAX_ERROR_CHARACTERS + 1), "x" * (MAX_ERROR_CHARACTERS - 1) + "…"),
        ("y" * 10_000_000, "y" * (MAX_ERROR_CHARACTERS - 1) + "…"),
    ],
    ids=["plain", "unstorable", "full", "one too many", "10 MB"],
)
def test_the_text_of_an_error_is_made_fit_to_be_stored(text, cleaned):
    assert clean_text(text) == cleaned


@given(st.text())
def test_whatever_an_error_says_can_be_stored_and_is_short(text):
    told = clean_text(text)
    gate(told, "The error")
    assert len(told) <= MAX_ERROR_CHARACTERS
