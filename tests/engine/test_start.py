"""Starting: in the caller's transaction, all of many or none, with a worker woken at the commit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django_q.models import OrmQ

from sagas import SagaDefinition, start, start_many
from sagas.clock import database_now
from sagas.exceptions import (
    DuplicateKey,
    InputRefused,
    UnknownDefinition,
)
from sagas.keys import step_key
from sagas.models import Saga, SagaStep, Wake
from sagas.states import Direction
from sagas.wake import queue_name
from tests.engine.statements import statements
from tests.samples import step

pytestmark = pytest.mark.django_db


def start_in_vain(definition: type[SagaDefinition], **options: Any) -> Saga:
    """Start a saga in a transaction that comes to nothing."""
    with transaction.atomic():
        saga = start(definition, {}, **options)
        transaction.set_rollback(True)
    return saga


def test_a_started_saga_waits_for_a_worker(define):
    saga = start(define(step("book"), step("pay"), version=3), {})

    saga = Saga.objects.get(pk=saga.pk)
    assert (saga.definition, saga.version, saga.status) == ("samples.trip", 3, "pending")
    assert (saga.steps_done, saga.steps_total, saga.current_step) == (0, 2, "book")
    assert (saga.held_by, saga.fence, saga.revision) == (None, 0, 0)
    assert saga.due_at is not None
    assert saga.due_at <= saga.created_at
    assert saga.correlation_id == str(saga.pk)


def test_its_steps_are_there_with_their_keys(define):
    saga = start(define(step("book"), step("pay")), {})

    steps = list(saga.steps.order_by("stage"))
    assert [(each.name, each.stage, each.status) for each in steps] == [
        ("book", 0, "pending"),
        ("pay", 1, "pending"),
    ]
    for each in steps:
        assert each.idempotency_key == step_key(saga.pk, each.name, Direction.FORWARD)
        assert each.undo_key == step_key(saga.pk, each.name, Direction.BACK)


def test_a_returned_saga_can_be_used_as_if_it_had_been_read(define):
    saga = start(define(step("book")), {})
    stored = Saga.objects.get(pk=saga.pk)
    assert saga == stored
    assert saga.due_at == stored.due_at
    assert saga.created_at == stored.created_at


@pytest.mark.parametrize(("by", "name"), [(None, ""), ("command:start_saga@host", "command:start_saga@host")])
def test_it_tells_who_started_it(define, by, name):
    assert start(define(step("book")), {}, by=by).started_by == name


def test_it_tells_which_user_started_it(define):
    user = User.objects.create(username="alice")
    assert start(define(step("book")), {}, by=user).started_by == "alice"


def test_it_keeps_the_correlation_it_was_given(define):
    assert start(define(step("book")), {}, correlation_id="request-1").correlation_id == "request-1"


def test_a_definition_can_be_named(define):
    define(step("book"))
    assert start("samples.trip", {}).definition == "samples.trip"


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownDefinition, match=r"There is no saga definition 'samples\.nowhere'"):
        start("samples.nowhere", {})


def test_a_rollback_of_the_caller_leaves_nothing(define, transactional_db):
    start_in_vain(define(step("book")))
    assert not Saga.objects.exists()
    assert not SagaStep.objects.exists()
    assert not Wake.objects.exists()
    assert not OrmQ.objects.exists()


def test_nobody_is_woken_before_the_caller_commits(define, transactional_db):
    with transaction.atomic():
        start(define(step("book")), {})
        assert not OrmQ.objects.exists()
    assert OrmQ.objects.count() == 1


def test_one_wake_up_serves_all_sagas_of_a_transaction(define, transactional_db):
    definition = define(step("book"))
    with transaction.atomic():
        for _ in range(5):
            start(definition, {})
    assert Saga.objects.count() == 5
    assert OrmQ.objects.count() == 1


def test_a_start_whose_savepoint_was_rolled_back_keeps_nobody_from_being_woken(define, transactional_db):
    definition = define(step("book"))
    with transaction.atomic():
        start_in_vain(definition)
        start(definition, {})
    assert Saga.objects.count() == 1
    assert OrmQ.objects.count() == 1


def test_a_queue_that_is_out_of_order_does_not_reach_the_caller(define, transactional_db, monkeypatch):
    monkeypatch.setattr("sagas.wake.queue_name", lambda: 1 / 0)
    saga = start(define(step("book")), {})
    assert Saga.objects.filter(pk=saga.pk).exists()


def test_a_refusal_leaves_the_callers_transaction_usable(orders):
    start(orders, {"order_id": "7"})
    with transaction.atomic():
        with pytest.raises(DuplicateKey):
            start(orders, {"order_id": "7"})
        start(orders, {"order_id": "8"})
    assert Saga.objects.count() == 2


def its_rows() -> int:
    """How many statements store a saga with its steps."""
    return 1 if connection.vendor == "postgresql" else 2


def test_few_statements_start_a_saga_and_wake_a_worker(define, transactional_db):
    definition = define(*(step(name) for name in "abcdefgh"))
    start(definition, {})
    Wake.objects.all().delete()
    with statements() as asked:
        start(definition, {})
    assert len(asked) == its_rows() + 3, asked  # the flag: is it set, set it; the message


def test_fewer_start_it_where_a_worker_is_awake_already(define, transactional_db):
    definition = define(step("a"))
    now = database_now("default").replace(microsecond=0)
    seconds = [now + timedelta(seconds=number) for number in range(30)]
    Wake.objects.bulk_create(Wake(queue=queue_name(), at=second) for second in seconds)
    with statements() as asked:
        start(definition, {})
    assert len(asked) == its_rows() + 1, asked


def test_all_are_started(orders):
    sagas = start_many(orders, [{"order_id": str(number)} for number in range(20)])
    assert [saga.key for saga in sagas] == [f"order:{number}" for number in range(20)]
    assert Saga.objects.count() == SagaStep.objects.count() == 20


@pytest.mark.parametrize("taken", ["a twin among them", "a live saga"])
def test_or_none(orders, taken):
    if taken == "a live saga":
        start(orders, {"order_id": "3"})
    before = Saga.objects.count()
    wanted = ["1", "2", "3"] + (["3"] if taken == "a twin among them" else [])
    with pytest.raises(DuplicateKey, match=r"holds the key 'order:3'"):
        start_many(orders, [{"order_id": each} for each in wanted])
    assert Saga.objects.count() == before
    assert SagaStep.objects.count() == before


def test_or_none_if_one_input_is_refused(orders):
    with pytest.raises(InputRefused):
        start_many(orders, [{"order_id": "1"}, {"order": "2"}])
    assert not Saga.objects.exists()


def test_of_nothing_nothing_is_started(orders):
    with statements() as asked:
        assert start_many(orders, []) == []
    assert asked == []


def test_many_cost_as_many_statements_as_one(define, transactional_db):
    definition = define(step("book"), step("pay"))
    inputs: list[dict[str, Any]] = [{} for _ in range(100)]
    start_many(definition, inputs)
    Wake.objects.all().delete()
    with statements() as asked:
        start_many(definition, inputs)
    assert len(asked) == (4 if connection.vendor == "postgresql" else 104)
