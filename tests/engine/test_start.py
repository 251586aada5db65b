"""Starting: in the caller's transaction, once per key, and never with an input that is not understood."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django_q.models import OrmQ
from rest_framework import serializers

from sagas import RETURN, PermanentFailure, SagaDefinition, start, start_many
from sagas.engine.births import store
from sagas.exceptions import (
    DuplicateKey,
    IdempotencyKeyReused,
    InputRefused,
    NotStorable,
    UnknownDefinition,
)
from sagas.keys import step_key
from sagas.models import Saga, SagaStep, Wake
from sagas.states import Direction
from sagas.testing import run_due, run_saga
from tests.engine.statements import statements
from tests.samples import Nothing, OrderInput, step

pytestmark = pytest.mark.django_db


class Anything(serializers.Serializer[Any]):
    """An input that would take what cannot be stored."""

    payload = serializers.JSONField()


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.fixture
def orders(define):
    """A definition with a key of its own."""
    return define(step("pay"), input=OrderInput, key="order:{order_id}")


class Anywhere(serializers.Serializer[Any]):
    """An input that may leave its field out."""

    place = serializers.CharField(required=False, allow_null=True)


def start_in_vain(definition: type[SagaDefinition], **options: Any) -> Saga:
    """Start a saga in a transaction that comes to nothing."""
    with transaction.atomic():
        saga = start(definition, {}, **options)
        transaction.set_rollback(True)
    return saga


class TestRows:
    def test_a_started_saga_waits_for_a_worker(self, define):
        saga = start(define(step("book"), step("pay"), version=3), {})

        saga = Saga.objects.get(pk=saga.pk)
        assert (saga.definition, saga.version, saga.status) == ("samples.trip", 3, "pending")
        assert (saga.steps_done, saga.steps_total, saga.current_step) == (0, 2, "book")
        assert (saga.held_by, saga.fence, saga.revision) == (None, 0, 0)
        assert saga.due_at is not None
        assert saga.due_at <= saga.created_at
        assert saga.correlation_id == str(saga.pk)

    def test_its_steps_are_there_with_their_keys(self, define):
        saga = start(define(step("book"), step("pay")), {})

        steps = list(saga.steps.order_by("stage"))
        assert [(each.name, each.stage, each.status) for each in steps] == [
            ("book", 0, "pending"),
            ("pay", 1, "pending"),
        ]
        for each in steps:
            assert each.idempotency_key == step_key(saga.pk, each.name, Direction.FORWARD)
            assert each.undo_key == step_key(saga.pk, each.name, Direction.BACK)

    def test_a_returned_saga_can_be_used_as_if_it_had_been_read(self, define):
        saga = start(define(step("book")), {})
        stored = Saga.objects.get(pk=saga.pk)
        assert saga == stored
        assert saga.due_at == stored.due_at
        assert saga.created_at == stored.created_at

    @pytest.mark.parametrize(
        ("by", "name"), [(None, ""), ("command:start_saga@host", "command:start_saga@host")]
    )
    def test_it_tells_who_started_it(self, define, by, name):
        assert start(define(step("book")), {}, by=by).started_by == name

    def test_it_tells_which_user_started_it(self, define):
        user = User.objects.create(username="alice")
        assert start(define(step("book")), {}, by=user).started_by == "alice"

    def test_it_keeps_the_correlation_it_was_given(self, define):
        assert start(define(step("book")), {}, correlation_id="request-1").correlation_id == "request-1"

    def test_a_definition_can_be_named(self, define):
        define(step("book"))
        assert start("samples.trip", {}).definition == "samples.trip"

    def test_an_unknown_name_is_refused(self):
        with pytest.raises(UnknownDefinition, match=r"There is no saga definition 'samples\.nowhere'"):
            start("samples.nowhere", {})


class TestTransactions:
    def test_a_rollback_of_the_caller_leaves_nothing(self, define, transactional_db):
        start_in_vain(define(step("book")))
        assert not Saga.objects.exists()
        assert not SagaStep.objects.exists()
        assert not Wake.objects.exists()
        assert not OrmQ.objects.exists()

    def test_nobody_is_woken_before_the_caller_commits(self, define, transactional_db):
        with transaction.atomic():
            start(define(step("book")), {})
            assert not OrmQ.objects.exists()
        assert OrmQ.objects.count() == 1

    def test_one_wake_up_serves_all_sagas_of_a_transaction(self, define, transactional_db):
        definition = define(step("book"))
        with transaction.atomic():
            for _ in range(5):
                start(definition, {})
        assert Saga.objects.count() == 5
        assert OrmQ.objects.count() == 1

    def test_a_start_whose_savepoint_was_rolled_back_keeps_nobody_from_being_woken(
        self, define, transactional_db
    ):
        definition = define(step("book"))
        with transaction.atomic():
            start_in_vain(definition)
            start(definition, {})
        assert Saga.objects.count() == 1
        assert OrmQ.objects.count() == 1

    def test_a_queue_that_is_out_of_order_does_not_reach_the_caller(
        self, define, transactional_db, monkeypatch
    ):
        monkeypatch.setattr("sagas.wake.queue_name", lambda: 1 / 0)
        saga = start(define(step("book")), {})
        assert Saga.objects.filter(pk=saga.pk).exists()

    def test_a_refusal_leaves_the_callers_transaction_usable(self, orders):
        start(orders, {"order_id": "7"})
        with transaction.atomic():
            with pytest.raises(DuplicateKey):
                start(orders, {"order_id": "7"})
            start(orders, {"order_id": "8"})
        assert Saga.objects.count() == 2

    def test_four_statements_start_a_saga_and_wake_a_worker(self, define, transactional_db):
        definition = define(*(step(name) for name in "abcdefgh"))
        start(definition, {})
        Wake.objects.all().delete()
        with statements() as asked:
            start(definition, {})
        assert len(asked) == 4, asked  # the saga, its steps, the flag of the wake-up, its message


class TestMany:
    def test_all_are_started(self, orders):
        sagas = start_many(orders, [{"order_id": str(number)} for number in range(20)])
        assert [saga.key for saga in sagas] == [f"order:{number}" for number in range(20)]
        assert Saga.objects.count() == SagaStep.objects.count() == 20

    @pytest.mark.parametrize("taken", ["a twin among them", "a live saga"])
    def test_or_none(self, orders, taken):
        if taken == "a live saga":
            start(orders, {"order_id": "3"})
        before = Saga.objects.count()
        wanted = ["1", "2", "3"] + (["3"] if taken == "a twin among them" else [])
        with pytest.raises(DuplicateKey, match=r"holds the key 'order:3'"):
            start_many(orders, [{"order_id": each} for each in wanted])
        assert Saga.objects.count() == before
        assert SagaStep.objects.count() == before

    def test_or_none_if_one_input_is_refused(self, orders):
        with pytest.raises(InputRefused):
            start_many(orders, [{"order_id": "1"}, {"order": "2"}])
        assert not Saga.objects.exists()

    def test_of_nothing_nothing_is_started(self, orders):
        with statements() as asked:
            assert start_many(orders, []) == []
        assert asked == []

    def test_many_cost_as_many_statements_as_one(self, define, transactional_db):
        definition = define(step("book"), step("pay"))
        inputs: list[dict[str, Any]] = [{} for _ in range(100)]
        start_many(definition, inputs)
        Wake.objects.all().delete()
        with statements() as asked:
            start_many(definition, inputs)
        assert len(asked) == (4 if connection.vendor == "postgresql" else 103)


class TestKeys:
    def test_a_live_saga_holds_its_key(self, orders):
        first = start(orders, {"order_id": "7"})
        with pytest.raises(DuplicateKey) as refusal:
            start(orders, {"order_id": "7"})
        assert refusal.value.existing == first
        assert str(refusal.value) == (
            f"samples.trip was not started: saga {first.pk} holds the key 'order:7' and is pending. Wait "
            "until it has ended, or start with if_live=RETURN to be given it."
        )
        assert Saga.objects.count() == 1

    def test_or_stands_in_for_a_new_one(self, orders):
        first = start(orders, {"order_id": "7"})
        assert start(orders, {"order_id": "7", "amount": "99.00"}, if_live=RETURN) == first
        assert Saga.objects.count() == SagaStep.objects.count() == 1

    @pytest.mark.parametrize("status", ["suspended", "failed"])
    def test_a_saga_at_rest_holds_its_key_too(self, orders, status):
        first = start(orders, {"order_id": "7"})
        Saga.objects.filter(pk=first.pk).update(status=status, due_at=None)
        with pytest.raises(DuplicateKey, match=f"and is {status}"):
            start(orders, {"order_id": "7"})

    @pytest.mark.parametrize("ending", ["completed", "compensated"])
    def test_the_key_is_free_again_when_the_saga_has_ended(self, orders, play, ending):
        if ending == "compensated":
            play.says("pay", PermanentFailure("no"))
        first = run_saga(orders, {"order_id": "7"})
        assert first.status == ending
        assert start(orders, {"order_id": "7"}) != first

    def test_a_saga_that_ends_while_it_stands_in_the_way_stands_there_no_more(self, orders, monkeypatch):
        first = start(orders, {"order_id": "7"})

        def store_and_let_the_other_end(*args: Any) -> Any:
            stored = store(*args)
            run_due()
            return stored

        monkeypatch.setattr("sagas.operations.starting.store", store_and_let_the_other_end)
        second = start(orders, {"order_id": "7"})
        assert second != first
        assert Saga.objects.count() == 2

    def test_definitions_do_not_share_keys(self, define, orders):
        other = define(step("pack"), input=OrderInput, key="order:{order_id}", name="samples.parcel")
        start(orders, {"order_id": "7"})
        assert start(other, {"order_id": "7"}).key == "order:7"

    def test_sagas_without_a_key_are_never_in_each_others_way(self, define):
        definition = define(step("book"))
        assert {start(definition, {}).key for _ in range(3)} == {None}

    def test_a_definition_without_a_key_takes_one(self, define):
        definition = define(step("book"))
        start(definition, {}, key="mine")
        with pytest.raises(DuplicateKey):
            start(definition, {}, key="mine")

    def test_a_definition_with_a_key_takes_none(self, orders):
        with pytest.raises(InputRefused) as refusal:
            start(orders, {"order_id": "7"}, key="mine")
        assert str(refusal.value) == (
            "samples.trip was not started with the key 'mine': it makes its own, 'order:{order_id}'. Leave "
            "the key out."
        )
        assert refusal.value.errors == {"key": ["This definition makes its own key."]}

    @pytest.mark.parametrize("key", ["", "x" * 201])
    def test_a_key_has_to_fit(self, define, key):
        with pytest.raises(InputRefused, match="its key must have 1 to 200 characters"):
            start(define(step("book")), {}, key=key)

    def test_a_key_made_from_the_input_has_to_fit_too(self, orders):
        with pytest.raises(InputRefused, match="has 206 characters, more than 200"):
            start(orders, {"order_id": "x" * 200})

    @pytest.mark.parametrize("input", [{}, {"place": None}])
    def test_a_key_needs_its_fields(self, define, input):
        definition = define(step("book"), input=Anywhere, key="place:{place}")
        with pytest.raises(InputRefused, match="place"):
            start(definition, input)


class TestIdempotency:
    def test_the_same_start_again_is_the_same_saga(self, orders):
        first = start(orders, {"order_id": "7", "amount": "5"}, idempotency_key="k", by="shop")
        again = start(orders, {"amount": "5.00", "order_id": "7"}, idempotency_key="k", by="shop")
        assert again == first
        assert Saga.objects.count() == SagaStep.objects.count() == 1

    def test_also_when_it_has_ended_and_another_holds_its_business_key(self, orders):
        first = run_saga(orders, {"order_id": "7"}, idempotency_key="k")
        start(orders, {"order_id": "7"})
        assert start(orders, {"order_id": "7"}, idempotency_key="k") == first

    def test_the_same_key_with_another_body_is_refused(self, orders):
        first = start(orders, {"order_id": "7"}, idempotency_key="k")
        with pytest.raises(IdempotencyKeyReused) as refusal:
            start(orders, {"order_id": "7", "amount": "2.00"}, idempotency_key="k")
        assert str(refusal.value) == (
            f"The idempotency key 'k' was first used with another input, for {first}. Use a new key for a "
            "new request."
        )

    def test_clients_do_not_share_keys(self, define):
        definition = define(step("book"))
        ids = {start(definition, {}, idempotency_key="k", by=client).pk for client in ("shop", "till", None)}
        assert len(ids) == 3

    def test_a_new_key_does_not_help_past_a_live_saga(self, orders):
        start(orders, {"order_id": "7"}, idempotency_key="k")
        with pytest.raises(DuplicateKey):
            start(orders, {"order_id": "7"}, idempotency_key="another")

    def test_a_start_that_was_lost_makes_the_same_saga_when_it_is_repeated(self, define):
        definition = define(step("book"))
        lost = start_in_vain(definition, idempotency_key="k")
        assert start(definition, {}, idempotency_key="k").pk == lost.pk


class TestInput:
    def test_what_is_stored_is_json_with_money_as_text(self, orders):
        saga = start(orders, {"order_id": 7, "amount": 5})
        saga.refresh_from_db()
        assert saga.input == {"order_id": "7", "amount": "5.00"}

    def test_an_unknown_field_is_refused(self, orders):
        with pytest.raises(InputRefused) as refusal:
            start(orders, {"order_id": "7", "ammount": "5", "x": 1})
        assert str(refusal.value) == (
            "samples.trip was not started: its input has no field 'ammount', 'x'. It takes amount, order_id."
        )
        assert refusal.value.errors == {
            "ammount": ["This field is not known."],
            "x": ["This field is not known."],
        }

    def test_an_invalid_value_is_refused(self, orders):
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
    def test_what_no_database_stores_is_refused(self, define, data):
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
    def test_text_that_no_database_stores_is_refused(self, define, option, text):
        with pytest.raises(InputRefused):
            start(define(step("book")), {}, **{option: text})

    def test_an_input_without_fields_is_an_empty_one(self, define):
        saga = start(define(step("book"), input=Nothing), {})
        saga.refresh_from_db()
        assert saga.input == {}
