"""What is sensitive is hidden by the names of fields, and does not slip out through errors."""

from __future__ import annotations

import logging

import pytest
from rest_framework import serializers

from sagas import PermanentFailure, Step
from sagas.models import HistoryEntry, HistoryKind
from sagas.redaction import HIDDEN, masked, redacted
from sagas.testing import run_saga
from tests.samples import step

CANARY = "4111-canary-1111"


class PayerInput(serializers.Serializer):
    payer = serializers.JSONField()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"card_number": "4111"}, {"card_number": HIDDEN}),
        ({"a": [{"b": {"PASSWORD": "x"}}]}, {"a": [{"b": {"PASSWORD": HIDDEN}}]}),
        ({"name": "Ada", "born": 1815}, {"name": HIDDEN, "born": 1815}),
        ({"name": {"first": "Ada"}}, {"name": HIDDEN}),
        ({"token": None, "has_token": True}, {"token": None, "has_token": True}),
        ([1, "x", None], [1, "x", None]),
        ({}, {}),
    ],
)
def test_fields_are_hidden_by_their_names_at_any_depth(value, shown):
    assert redacted(value, declared=["name"]) == shown


def test_which_names_look_sensitive_is_a_setting(settings):
    settings.SAGAS = {"SENSITIVE_NAMES": "^shoe"}
    assert redacted({"shoe_size": 44, "card": "4111"}) == {"shoe_size": HIDDEN, "card": "4111"}


def test_declared_values_are_masked_in_texts():
    values = {"payer": {"iban": ["DE02", 120300]}, "city": "Bonn"}
    text = "DE02 has no 120300 in Bonn"
    assert masked(text, values, ["payer"]) == f"{HIDDEN} has no {HIDDEN} in Bonn"
    assert masked(text, values, []) == text


@pytest.mark.django_db
@pytest.mark.parametrize("error", [PermanentFailure, ValueError])
def test_an_error_that_repeats_what_is_sensitive_is_masked_wherever_it_goes(define, play, caplog, error):
    definition = define(step("pay"), input=PayerInput, sensitive=["payer"])
    play.says("pay", error(f"no account {CANARY}"))
    caplog.set_level(logging.DEBUG)

    saga = run_saga(definition, {"payer": {"deep": [{"card": CANARY}]}})

    pay = saga.steps.get()
    told = [entry.data for entry in HistoryEntry.objects.filter(saga=saga)]
    assert saga.error == pay.error == f"no account {HIDDEN}"
    assert CANARY not in f"{told} {caplog.text}"
    assert saga.input["payer"]["deep"][0]["card"] == CANARY


@pytest.mark.django_db
def test_an_unexpected_error_is_told_with_the_place_where_it_broke(define, play):
    def breaks(ctx):
        raise KeyError("reference")

    saga = run_saga(define(Step(breaks, read_only=True)), {})

    entry = saga.history.filter(kind=HistoryKind.ATTEMPT).earliest("id")
    assert entry.data["trace"].startswith("Traceback")
    assert 'raise KeyError("reference")' in entry.data["trace"]
    assert entry.data["seconds"] >= 0


@pytest.mark.django_db
def test_of_a_long_traceback_the_end_is_kept(define):
    def breaks(ctx):
        raise ValueError("x" * 20_000)

    saga = run_saga(define(Step(breaks, read_only=True)), {})

    trace = saga.history.filter(kind=HistoryKind.ATTEMPT).earliest("id").data["trace"]
    assert len(trace) == 8000
    assert trace.startswith("…")
