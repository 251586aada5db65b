"""Two at the same saga at the same time, on connections of their own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

from sagas import RETURN, idempotent, start, start_many
from sagas.clock import database_now
from sagas.exceptions import DuplicateKey, OperationRefused
from sagas.models import HistoryKind, Saga, SagaStep
from sagas.operations.performing import perform
from sagas.participants import effect_once, undo_once
from sagas.testing import run_due
from tests.engine.hands import Hand
from tests.samples import OrderInput, history, postgresql_only, statuses, step

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Let all act at the same time, each on a connection of its own; return what they returned or raised."""
    ready = threading.Barrier(len(acts), timeout=20)
    came_to: list[Any] = [None] * len(acts)

    def act(number: int) -> None:
        try:
            ready.wait()
            came_to[number] = acts[number]()
        except Exception as error:
            came_to[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=act, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return came_to


@pytest.mark.parametrize("workers", [2, 6])
def test_workers_that_claim_at_once_share_the_sagas(define, workers):
    sagas = start_many(define(step("pay")), [{}] * 60)
    hands = [Hand() for _ in range(workers)]
    taken = at_once(*(lambda hand=hand: hand.take(limit=20) for hand in hands))

    claims = Counter(attempt.held.id for attempts in taken for attempt in attempts)
    assert set(claims.values()) == {1}
    assert set(claims) <= {saga.pk for saga in sagas}
    assert set(SagaStep.objects.filter(status="running").values_list("attempts", flat=True)) == {1}
    assert Saga.objects.filter(fence=1).count() == sum(claims.values())


@postgresql_only
def test_a_worker_passes_by_what_another_is_claiming(define):
    first, second = start_many(define(step("pay")), [{}] * 2)
    with transaction.atomic():
        Saga.objects.select_for_update().get(pk=first.pk)
        [taken] = at_once(Hand().take)
    assert [attempt.held.id for attempt in taken] == [second.pk]


@pytest.mark.parametrize("round_", range(3))
def test_fifty_starts_under_one_key_make_one_saga(define, round_):
    definition = define(step("pay"), input=OrderInput, key="order:{order_id}")
    came_to = at_once(*[lambda: start(definition, {"order_id": "7"})] * 50)

    started = [each for each in came_to if isinstance(each, Saga)]
    assert Saga.objects.count() == SagaStep.objects.count() == len(started) == 1
    refused = [each for each in came_to if not isinstance(each, Saga)]
    assert {type(each) for each in refused} == {DuplicateKey}
    assert {each.existing.pk for each in refused} == {started[0].pk}


def test_fifty_starts_under_one_idempotency_key_are_given_the_same_saga(define):
    definition = define(step("pay"))
    came_to = at_once(*[lambda: start(definition, {}, idempotency_key="k", by="shop")] * 50)
    assert {getattr(each, "pk", each) for each in came_to} == {Saga.objects.get().pk}
    assert SagaStep.objects.count() == 1


def test_fifty_that_take_what_there_is_are_given_the_same_saga(define):
    definition = define(step("pay"), input=OrderInput, key="order:{order_id}")
    came_to = at_once(*[lambda: start(definition, {"order_id": "7"}, if_live=RETURN)] * 50)
    assert {getattr(each, "pk", each) for each in came_to} == {Saga.objects.get().pk}


@postgresql_only
@pytest.mark.parametrize("commits", [True, False])
def test_a_twin_waits_for_the_one_that_is_not_committed_yet(define, commits):
    definition = define(step("pay"), input=OrderInput, key="order:{order_id}")
    came_to: list[Any] = []
    twin = threading.Thread(
        target=lambda: came_to.extend(at_once(lambda: start(definition, {"order_id": "7"})))
    )
    with transaction.atomic():
        first = start(definition, {"order_id": "7"})
        twin.start()
        twin.join(0.3)
        assert twin.is_alive()
        transaction.set_rollback(not commits)
    twin.join(10)
    [second] = came_to
    assert Saga.objects.count() == 1
    if commits:
        assert isinstance(second, DuplicateKey)
        assert second.existing.pk == first.pk
    else:
        assert second.pk == Saga.objects.get().pk


@pytest.mark.parametrize("order", ["asked first", "settled first", "at once"])
def test_a_wish_and_a_settlement_never_miss_each_other(define, play, order):
    saga = start(define(step("book"), step("pay")), {})
    hand = Hand()
    outcomes = hand.call(hand.take())
    settlements: list[Any] = []

    def ask() -> None:
        perform(saga.pk, "compensate", by="alice")

    def settle() -> None:
        settlements.append(hand.settle(*outcomes))

    if order == "at once":
        assert at_once(ask, settle) == [None, None]
    else:
        for act in (ask, settle) if order == "asked first" else (settle, ask):
            act()
    while attempts := settlements.pop().attempts:
        settlements.append(hand.settle(*hand.call(attempts)))
    saga.refresh_from_db()
    if saga.held_by is None:
        run_due()
    saga.refresh_from_db()
    assert saga.status == "compensated"
    undone = [call.removeprefix("undo ") for call in play.calls if call.startswith("undo ")]
    done = [call for call in play.calls if not call.startswith("undo ")]
    assert undone == done[::-1]


@pytest.mark.parametrize("operation", ["compensate", "suspend"])
def test_of_twenty_operators_at_rest_one_is_heard(define, operation):
    saga = start(define(step("pay")), {})
    came_to = at_once(*[lambda: perform(saga.pk, operation, by=None, expected_revision=saga.revision)] * 20)
    refused = [each for each in came_to if isinstance(each, OperationRefused)]
    assert len(refused) == 19
    assert {each.code for each in refused} == {"stale_revision"}
    assert len(history(saga, HistoryKind.ACT)) == 1
    assert len(history(saga, HistoryKind.REFUSAL)) == 19


def test_two_operators_who_want_different_things_do_not_both_get_them(define, play):
    saga = start(define(step("pay")), {})
    at_once(*(lambda op=op: perform(saga.pk, op, by=None) for op in ("compensate", "suspend")))
    saga.refresh_from_db()
    acts = history(saga, HistoryKind.ACT)
    # Turned back and then suspended, or suspended and then turned back: one after the other.
    assert [(each.from_status, each.to_status) for each in acts] in (
        [("pending", "compensating"), ("compensating", "suspended")],
        [("pending", "suspended"), ("suspended", "compensating")],
    )
    assert saga.status == acts[-1].to_status


def test_a_result_is_settled_once_by_however_many(define, play):
    saga = start(define(step("book"), step("pay")), {})
    hand = Hand()
    outcomes = hand.call(hand.take())
    at_once(*[lambda: hand.settle(*outcomes)] * 8)
    assert statuses(saga) == {"book": "completed", "pay": "running"}
    assert saga.steps.get(name="pay").attempts == 1


def test_two_that_take_over_at_once_take_over_once(define):
    saga = start(define(step("book")), {})
    Hand().take()
    Saga.objects.filter(pk=saga.pk).update(due_at=database_now("default"))
    taken = at_once(*(Hand().take for _ in range(6)))
    assert sum(len(attempts) for attempts in taken) == 1
    saga.refresh_from_db()
    assert (saga.fence, saga.steps.get().crashes) == (2, 1)
    assert len(history(saga, HistoryKind.TAKE_OVER)) == 1


def test_an_effect_is_had_once_by_however_many_ask_at_once():
    had: list[int] = []

    def effect() -> dict[str, Any]:
        had.append(1)
        return {"n": len(had)}

    assert at_once(*[lambda: effect_once("k", effect)] * 20) == [{"n": 1}] * 20
    assert at_once(*[lambda: idempotent("k", effect)] * 20) == [{"n": 2}] * 20


def test_an_effect_and_its_undo_at_once_leave_nothing():
    had: list[str] = []

    def effect() -> dict[str, Any]:
        had.append("effect")
        return {}

    at_once(lambda: effect_once("k", effect), lambda: undo_once("k", lambda result: had.append("undo")))
    assert had in ([], ["effect", "undo"])
