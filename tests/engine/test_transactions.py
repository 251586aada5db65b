"""A database that stumbles is asked again; what became of a COMMIT without an answer is looked up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg.errors
import pytest
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)

from sagas import PermanentFailure, RetryLater, start, start_many
from sagas.engine.transactions import durably, is_transient
from sagas.models import HistoryKind, Saga, SagaStep
from sagas.states import AT_WORK
from tests.engine.hands import Hand
from tests.samples import STEADY, history, postgresql_only, statuses, step

E = psycopg.errors
LATER = datetime(2100, 1, 1, tzinfo=UTC)


def as_django_tells_it(error: type[Exception], cause: Exception | None = None) -> Exception:
    told = error("told by Django")
    told.__cause__ = cause
    return told


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (as_django_tells_it(OperationalError, E.SerializationFailure()), True),
        (as_django_tells_it(OperationalError, E.DeadlockDetected()), True),
        (as_django_tells_it(OperationalError, E.LockNotAvailable()), True),
        (as_django_tells_it(OperationalError, E.QueryCanceled()), True),
        (as_django_tells_it(OperationalError, E.AdminShutdown()), True),
        (as_django_tells_it(OperationalError, E.CannotConnectNow()), True),
        (as_django_tells_it(OperationalError, E.IdleInTransactionSessionTimeout()), True),
        (as_django_tells_it(OperationalError, E.ConnectionFailure()), True),
        (as_django_tells_it(OperationalError, E.TooManyConnections()), True),
        (as_django_tells_it(OperationalError, E.DiskFull()), True),
        (as_django_tells_it(OperationalError, psycopg.OperationalError("the connection is lost")), True),
        (as_django_tells_it(InterfaceError, psycopg.InterfaceError("already closed")), True),
        (as_django_tells_it(OperationalError), True),  # SQLite: database is locked
        (as_django_tells_it(DataError, E.UntranslatableCharacter()), False),
        (as_django_tells_it(IntegrityError, E.CheckViolation()), False),
        (as_django_tells_it(ProgrammingError, E.UndefinedTable()), False),
        (as_django_tells_it(DataError), False),
        (ValueError("a bug"), False),
    ],
)
def test_which_errors_are_worth_another_try(error, transient):
    assert is_transient(error) is transient


@pytest.fixture
def no_pause(monkeypatch):
    """Between tries no time passes."""
    monkeypatch.setattr("sagas.engine.transactions.time.sleep", lambda seconds: None)


def stumbling(errors: list[Exception]) -> Callable[[], str]:
    """Return work that raises these errors, one a try, and then is done."""

    def work() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    return work


def never(result: object) -> bool:
    raise AssertionError("Nothing was in doubt.")


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_stumbled_is_repeated(no_pause):
    errors: list[Exception] = [
        OperationalError("locked"),
        InterfaceError("closed"),
        OperationalError("locked"),
    ]
    assert durably(stumbling(errors), happened=never) == "done"


@pytest.mark.django_db(transaction=True)
def test_but_not_for_ever(no_pause):
    errors: list[Exception] = [OperationalError(f"locked {number}") for number in range(1, 20)]
    with pytest.raises(OperationalError, match="locked 8"):
        durably(stumbling(errors), happened=never)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [IntegrityError("no"), DataError("no"), ZeroDivisionError("a bug")])
def test_what_will_not_get_better_is_raised_at_once(error):
    errors = [error, error]
    with pytest.raises(type(error)):
        durably(stumbling(errors), happened=never)
    assert len(errors) == 1


@pytest.mark.django_db(transaction=True)
def test_within_a_transaction_of_the_caller_nothing_can_be_repeated():
    errors: list[Exception] = [OperationalError("locked")]
    with pytest.raises(OperationalError), transaction.atomic():
        durably(stumbling(errors), happened=never)


@pytest.mark.django_db(transaction=True)
def test_each_try_begins_from_nothing(define, no_pause):
    definition = define(step("pay"))
    tries: list[int] = []

    def work() -> int:
        start(definition, {})
        tries.append(Saga.objects.count())
        if len(tries) < 3:
            raise OperationalError("locked")
        return len(tries)

    durably(work, happened=never)
    assert tries == [1, 1, 1]
    assert Saga.objects.count() == 1


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_a_serialisation_failure_is_repeated(define):
    saga = start(define(step("pay")), {})
    tries: list[str] = []

    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        tries.append(Saga.objects.get(pk=saga.pk).error)
        if len(tries) == 1:
            thread = threading.Thread(target=write_from_elsewhere)
            thread.start()
            thread.join()
        Saga.objects.filter(pk=saga.pk).update(error="mine")

    def write_from_elsewhere() -> None:
        Saga.objects.filter(pk=saga.pk).update(error="theirs")
        connection.close()

    durably(work, happened=never)
    assert tries == ["", "theirs"]
    assert Saga.objects.get().error == "mine"


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_a_deadlock_is_repeated(define):
    first, second = start_many(define(step("pay")), [{}] * 2)
    both_hold_one = threading.Barrier(2, timeout=10)
    tries: list[str] = []

    def lock_in_order(name: str, *order: Saga) -> None:
        def work() -> None:
            tries.append(name)
            for saga in order:
                Saga.objects.select_for_update().get(pk=saga.pk)
                if tries.count(name) == 1 and saga is order[0]:
                    both_hold_one.wait()

        durably(work, happened=never)
        if name == "theirs":
            connection.close()

    thread = threading.Thread(target=lock_in_order, args=("theirs", second, first))
    thread.start()
    lock_in_order("mine", first, second)
    thread.join()
    assert sorted(tries) in (["mine", "mine", "theirs"], ["mine", "theirs", "theirs"])


@pytest.fixture
def lose_answer():
    """Loses the answer to the next COMMIT, before or after the database carried it out."""
    wrapper: Any = connections["default"]

    def lose(when: str, *, meanwhile: Callable[[], object] = lambda: None) -> None:
        def commit_without_answer() -> None:
            del wrapper.commit
            if when == "after":
                wrapper._commit()
            wrapper.connection.close()
            meanwhile()
            raise OperationalError("the connection was lost")

        wrapper.commit = commit_without_answer

    yield lose
    wrapper.__dict__.pop("commit", None)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("when", ["before", "after"])
class TestLostAnswers:
    def test_a_claim_is_neither_lost_nor_doubled(self, define, hand, lose_answer, when):
        sagas = start_many(define(step("pay")), [{}] * 3)
        free = hand.slots.free
        lose_answer(when)
        attempts = hand.take()

        assert {attempt.held.id for attempt in attempts} == {saga.pk for saga in sagas}
        assert {attempt.number for attempt in attempts} == {1}
        assert set(Saga.objects.values_list("fence", "held_by")) == {(1, hand.id)}
        assert set(SagaStep.objects.values_list("status", "attempts", "crashes")) == {("running", 1, 0)}
        assert hand.slots.free == free - 3
        hand.settle(*hand.call(attempts))
        assert Saga.objects.filter(status="completed").count() == 3

    def test_a_settlement_is_neither_lost_nor_doubled(self, define, play, hand, lose_answer, when):
        definition = define(step("pay"), step("send"))
        play.always("pay", {"paid": True})
        sagas = start_many(definition, [{}] * 3)
        outcomes = hand.call(hand.take())
        lose_answer(when)
        settlement = hand.settle(*outcomes)

        assert {attempt.held.id for attempt in settlement.attempts} == {saga.pk for saga in sagas}
        assert {attempt.number for attempt in settlement.attempts} == {1}
        for saga in sagas:
            assert statuses(saga) == {"pay": "completed", "send": "running"}
            assert saga.steps.get(name="pay").result == {"paid": True}
            assert not history(saga, HistoryKind.EVIDENCE)
        hand.settle(*hand.call(settlement.attempts))
        assert not Saga.objects.filter(status__in=AT_WORK).exists()
        assert play.calls == ["pay"] * 3 + ["send"] * 3

    def test_the_settlement_of_a_compensation_that_waits_is_not_lost(
        self, define, play, hand, lose_answer, when
    ):
        play.says("send", PermanentFailure("no"))
        play.says("undo pay", RetryLater("busy"))
        saga = start(define(step("pay", undo_retry=STEADY), step("send")), {})
        attempts = hand.take()
        for _ in range(2):
            attempts = hand.settle(*hand.call(attempts)).attempts
        outcomes = hand.call(attempts)
        lose_answer(when)
        hand.settle(*outcomes)

        pay = saga.steps.get(name="pay")
        assert (pay.status, pay.undo_attempts) == ("compensating", 1)
        assert pay.due_at is not None
        saga.refresh_from_db()
        assert saga.held_by is None

    def test_a_settlement_that_ends_a_saga_is_neither_lost_nor_doubled(
        self, define, play, hand, lose_answer, when
    ):
        play.says("pay", PermanentFailure("no"))
        saga = start(define(step("pay")), {})
        outcomes = hand.call(hand.take())
        lose_answer(when)
        settlement = hand.settle(*outcomes)

        saga.refresh_from_db()
        assert (saga.status, settlement.let_go) == ("compensated", {saga.pk})
        assert [(entry.kind, entry.to_status) for entry in history(saga)] == [
            ("status", "running"),
            ("attempt", ""),
            ("status", "compensating"),
            ("status", "compensated"),
        ]

    def test_who_has_to_know_is_told_all_the_same(self, define, alarms, hand, lose_answer, when):
        saga = start(define(step("pay")), {})
        outcomes = hand.call(hand.take())
        lose_answer(when)
        hand.settle(*outcomes)
        assert alarms.completed == [saga.pk]

    def test_what_another_worker_did_since_is_not_undone(self, define, hand, lose_answer, when):
        saga = start(define(step("pay")), {})
        other = Hand()

        def take_over() -> None:
            Saga.objects.filter(pk=saga.pk).update(held_by=other.id, fence=5, due_at=LATER)
            connection.close()

        def elsewhere() -> None:
            thread = threading.Thread(target=take_over)
            thread.start()
            thread.join()

        lose_answer(when, meanwhile=elsewhere)
        assert hand.take() == []
        saga.refresh_from_db()
        assert (saga.held_by, saga.fence) == (other.id, 5)
