"""One live saga per business key, and one saga per idempotency key."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from rest_framework import serializers

from sagas import RETURN, PermanentFailure, RetryLater, SagaDefinition, start
from sagas.engine.births import store
from sagas.exceptions import (
    DuplicateKey,
    IdempotencyKeyReused,
    InputRefused,
)
from sagas.models import Saga, SagaStep
from sagas.operations.performing import perform
from sagas.testing import run_due, run_saga
from tests.samples import OrderInput, step

pytestmark = pytest.mark.django_db


class Anywhere(serializers.Serializer[Any]):
    """An input that may leave its field out."""

    place = serializers.CharField(required=False, allow_null=True)


def start_in_vain(definition: type[SagaDefinition], **options: Any) -> Saga:
    """Start a saga in a transaction that comes to nothing."""
    with transaction.atomic():
        saga = start(definition, {}, **options)
        transaction.set_rollback(True)
    return saga


def test_a_live_saga_holds_its_key(orders):
    first = start(orders, {"order_id": "7"})
    with pytest.raises(DuplicateKey) as refusal:
        start(orders, {"order_id": "7"})
    assert refusal.value.existing == first
    assert str(refusal.value) == (
        f"samples.trip was not started: saga {first.pk} holds the key 'order:7' and is pending. Wait "
        "until it has ended, or start with if_live=RETURN to be given it."
    )
    assert Saga.objects.count() == 1


def test_or_stands_in_for_a_new_one(orders):
    first = start(orders, {"order_id": "7"})
    assert start(orders, {"order_id": "7", "amount": "99.00"}, if_live=RETURN) == first
    assert Saga.objects.count() == SagaStep.objects.count() == 1


@pytest.mark.parametrize("status", ["suspended", "failed"])
def test_a_saga_at_rest_holds_its_key_too(orders, status):
    first = start(orders, {"order_id": "7"})
    Saga.objects.filter(pk=first.pk).update(status=status, due_at=None)
    with pytest.raises(DuplicateKey, match=f"and is {status}"):
        start(orders, {"order_id": "7"})


@pytest.mark.parametrize("ending", ["completed", "compensated"])
def test_the_key_is_free_again_when_the_saga_has_ended(orders, play, ending):
    if ending == "compensated":
        play.says("pay", PermanentFailure("no"))
    first = run_saga(orders, {"order_id": "7"})
    assert first.status == ending
    assert start(orders, {"order_id": "7"}) != first


def test_a_saga_that_ends_while_it_stands_in_the_way_stands_there_no_more(orders, monkeypatch):
    first = start(orders, {"order_id": "7"})

    def store_and_let_the_other_end(*args: Any) -> Any:
        stored = store(*args)
        run_due()
        return stored

    monkeypatch.setattr("sagas.operations.starting.store", store_and_let_the_other_end)
    second = start(orders, {"order_id": "7"})
    assert second != first
    assert Saga.objects.count() == 2


def test_definitions_do_not_share_keys(define, orders):
    other = define(step("pack"), input=OrderInput, key="order:{order_id}", name="samples.parcel")
    start(orders, {"order_id": "7"})
    assert start(other, {"order_id": "7"}).key == "order:7"


def test_sagas_without_a_key_are_never_in_each_others_way(define):
    definition = define(step("book"))
    assert {start(definition, {}).key for _ in range(3)} == {None}


def test_a_definition_without_a_key_takes_one(define):
    definition = define(step("book"))
    start(definition, {}, key="mine")
    with pytest.raises(DuplicateKey):
        start(definition, {}, key="mine")


def test_a_definition_with_a_key_takes_none(orders):
    with pytest.raises(InputRefused) as refusal:
        start(orders, {"order_id": "7"}, key="mine")
    assert str(refusal.value) == (
        "samples.trip was not started with the key 'mine': it makes its own, 'order:{order_id}'. Leave "
        "the key out."
    )
    assert refusal.value.errors == {"key": ["This definition makes its own key."]}


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_has_to_fit(define, key):
    with pytest.raises(InputRefused, match="its key must have 1 to 200 characters"):
        start(define(step("book")), {}, key=key)


def test_a_key_made_from_the_input_has_to_fit_too(orders):
    with pytest.raises(InputRefused, match="has 206 characters, more than 200"):
        start(orders, {"order_id": "x" * 200})


@pytest.mark.parametrize("input", [{}, {"place": None}])
def test_a_key_needs_its_fields(define, input):
    definition = define(step("book"), input=Anywhere, key="place:{place}")
    with pytest.raises(InputRefused, match="place"):
        start(definition, input)


def test_the_same_start_again_is_the_same_saga(orders):
    first = start(orders, {"order_id": "7", "amount": "5"}, idempotency_key="k", by="shop")
    again = start(orders, {"amount": "5.00", "order_id": "7"}, idempotency_key="k", by="shop")
    assert again == first
    assert Saga.objects.count() == SagaStep.objects.count() == 1


def test_also_when_it_has_ended_and_another_holds_its_business_key(orders):
    first = run_saga(orders, {"order_id": "7"}, idempotency_key="k")
    start(orders, {"order_id": "7"})
    assert start(orders, {"order_id": "7"}, idempotency_key="k") == first


def test_the_same_key_with_another_body_is_refused(orders):
    first = start(orders, {"order_id": "7"}, idempotency_key="k")
    with pytest.raises(IdempotencyKeyReused) as refusal:
        start(orders, {"order_id": "7", "amount": "2.00"}, idempotency_key="k")
    assert str(refusal.value) == (
        f"The idempotency key 'k' was first used with another input, for {first}. Use a new key for a "
        "new request."
    )


def test_clients_do_not_share_keys(define):
    definition = define(step("book"))
    ids = {start(definition, {}, idempotency_key="k", by=client).pk for client in ("shop", "till", None)}
    assert len(ids) == 3


def test_a_new_key_does_not_help_past_a_live_saga(orders):
    start(orders, {"order_id": "7"}, idempotency_key="k")
    with pytest.raises(DuplicateKey):
        start(orders, {"order_id": "7"}, idempotency_key="another")


def test_a_start_that_was_lost_makes_the_same_saga_when_it_is_repeated(define):
    definition = define(step("book"))
    lost = start_in_vain(definition, idempotency_key="k")
    assert start(definition, {}, idempotency_key="k").pk == lost.pk


def test_who_asks_again_gets_the_saga_though_an_operator_has_edited_its_input(define, play):
    play.always("pay", RetryLater("busy"))
    definition = define(step("pay"), input=Anywhere)
    saga = run_saga(definition, {}, idempotency_key="k")
    for place in ("here", "there"):
        perform(saga.pk, "edit", by="ada", input={"place": place})
    assert start(definition, {}, idempotency_key="k") == saga
    with pytest.raises(IdempotencyKeyReused):
        start(definition, {"place": "there"}, idempotency_key="k")
