"""What one step returns is what the next one sees, in memory, after a crash, and on the way back."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rest_framework import serializers

from sagas import PermanentFailure, start
from sagas.models import Saga
from tests.engine.hands import Hand
from tests.samples import step

pytestmark = pytest.mark.django_db

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-(2.0**52), 2.0**52, allow_nan=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
results = st.dictionaries(text, values, max_size=3)
AWKWARD = {"": None, 'a"b\\c': ["{NULL,\\}", "'; --", "\x01", "%s %(x)s"], "ключ": {"é": -0.0, "": []}}


class Anything(serializers.Serializer[Any]):
    """An input of any JSON."""

    payload = serializers.JSONField(allow_null=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(results, values)
@example(AWKWARD, AWKWARD)
@example({}, None)
def test_every_reader_sees_the_same(define, play, result, payload):
    definition = define(step("a"), step("b"), input=Anything)
    play.always("a", result)
    play.always("b", PermanentFailure("no"))
    with transaction.atomic():
        saga = start(definition, {"payload": payload})
        hand = Hand()
        hand.settle(*hand.call(hand.take()), begin=False)
        after_a_crash = Hand()
        [undo] = after_a_crash.settle(*after_a_crash.call(after_a_crash.take())).attempts
        after_a_crash.call([undo])
        stored = Saga.objects.get(pk=saga.pk)
        row = stored.steps.get(name="a")
        transaction.set_rollback(True)

    assert play.context("a").input == play.context("b").input == stored.input == {"payload": payload}
    assert play.context("b").results == {"a": result}
    assert play.context("undo a").result == row.result == result
