"""A database that stumbles is asked again; what became of a COMMIT without an answer is looked up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg.errors
import pytest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)

from sagas import start, start_many
from sagas.engine.transactions import durably, is_transient
from sagas.models import Saga
from tests.engine.hands import Hand
from tests.samples import postgresql_only, step

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


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_a_commit_that_was_interrupted_does_not_leave_its_transaction_open(define, monkeypatch):
    definition = define(step("pay"))

    def interrupted() -> None:
        raise SystemExit(1)

    with monkeypatch.context() as patched:
        patched.setattr(connection, "commit", interrupted)
        with pytest.raises((SystemExit, DatabaseError)):
            durably(lambda: start(definition, {}), happened=never)
    assert not Saga.objects.exists()
    start(definition, {})
    connection.close()
    assert Saga.objects.count() == 1


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
def migrate():
    """Change a table as a migration does, from elsewhere."""

    def alter(change: str) -> None:
        def work() -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"ALTER TABLE sagas_sagastep ALTER COLUMN call TYPE {change}")
            connection.close()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    yield alter
    alter("varchar(10)")


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_what_a_migration_has_made_stale_is_prepared_anew(define, migrate, no_pause):
    saga = start(define(step("pay"), step("ship"), step("tell")), {})
    hand = Hand()
    connection.ensure_connection()
    connection.connection.prepare_threshold = 0  # At the first time.
    attempts = hand.settle(*hand.call(hand.take())).attempts
    attempts = hand.settle(*hand.call(attempts)).attempts
    migrate("varchar(11)")
    hand.settle(*hand.call(attempts))
    saga.refresh_from_db()
    assert saga.status == "completed"
