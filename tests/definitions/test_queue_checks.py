"""What must be right about django-q2's settings and the database: each check by its id, with its text."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Error, Warning
from django.db import connection
from django_q.conf import Conf

from sagas.queue.checks import check_durability, check_queue, check_recovery
from sagas.queue.schedules import install
from sagas.wake import task_timeout
from tests.samples import postgresql_only, sqlite_only

BROKERS = ("ORM", "REDIS", "DJANGO_REDIS", "SQS", "IRON_MQ", "MONGO", "BROKER_CLASS")


@pytest.fixture
def conf(monkeypatch, settings):
    """Settings of django-q2, as a project might have them."""
    settings.SAGAS = {}

    def change(**values: Any) -> None:
        for name, value in values.items():
            monkeypatch.setattr(Conf, name, value)

    return change


@pytest.fixture
def database(monkeypatch):
    """Settings of the sagas' database, as a project might have them."""

    def change(**values: Any) -> None:
        for name, value in values.items():
            monkeypatch.setitem(connection.settings_dict, name, value)

    return change


def test_right_settings_have_nothing_wrong(conf):
    conf(RETRY=task_timeout() + 1)
    assert check_queue() == []


@pytest.mark.parametrize("broker", BROKERS[1:])
def test_any_broker_that_was_chosen_is_right(conf, broker):
    conf(**dict.fromkeys(BROKERS), RETRY=task_timeout() + 1)
    conf(**{broker: "something"})
    assert check_queue() == []


def test_E020(conf):
    conf(**dict.fromkeys(BROKERS))
    [error] = check_queue()
    assert isinstance(error, Error)
    assert error.id == "sagas.E020"
    assert error.msg == (
        "No broker is set for django-q2, so it would look for Redis on this host and no saga would be woken."
    )
    assert error.hint == 'Set Q_CLUSTER = {"name": "…", "orm": "default"}.'


def test_E021(conf):
    conf(SYNC=True)
    [error] = check_queue()
    assert isinstance(error, Error)
    assert error.id == "sagas.E021"
    assert error.msg == (
        "Q_CLUSTER['sync'] is on, so the request that starts a saga would run it, steps and all."
    )
    assert error.hint == "Remove sync; tests drive sagas with sagas.testing.run_saga."


def test_E022(conf):
    conf(ORM="queue")
    [error] = check_queue()
    assert isinstance(error, Error)
    assert error.id == "sagas.E022"
    assert error.msg == (
        "Wake-ups are queued in the database 'queue' and sagas are kept in 'default', so queueing one would "
        "close the connection of the transaction that started the saga."
    )
    assert error.hint == "Set Q_CLUSTER['orm'] to 'default'."


@postgresql_only
@pytest.mark.django_db
def test_a_database_that_keeps_what_it_commits_has_nothing_wrong():
    assert check_durability(databases=["default"]) == []


@postgresql_only
@pytest.mark.django_db
def test_E023():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
    [error] = check_durability(databases=["default"])
    assert isinstance(error, Error)
    assert error.id == "sagas.E023"
    assert error.msg == (
        "PostgreSQL runs with synchronous_commit=off, so a crash of its machine forgets steps that were "
        "carried out, and they would be carried out again."
    )
    assert error.hint == "Set synchronous_commit=on."


def test_the_database_is_asked_only_when_djangos_checks_may():
    for check in (check_durability, check_recovery):
        assert check(databases=None) == []
        assert check(databases=["other"]) == []


@sqlite_only
@pytest.mark.parametrize("options", [{}, {"transaction_mode": "DEFERRED"}])
def test_W001(database, options):
    database(OPTIONS=options)
    [warning] = check_queue()
    assert isinstance(warning, Warning)
    assert warning.id == "sagas.W001"
    assert warning.msg == (
        "Sagas are kept in SQLite without immediate transactions, so workers will meet 'database is locked'."
    )
    assert warning.hint == "Set DATABASES['default']['OPTIONS']['transaction_mode'] to 'IMMEDIATE'."


def test_W002(conf):
    longest = task_timeout()
    conf(RETRY=longest)
    [warning] = check_queue()
    assert isinstance(warning, Warning)
    assert warning.id == "sagas.W002"
    assert warning.msg == (
        f"django-q2 sends a wake-up again after {longest} s while a runner may be at work for {longest} s, "
        "so workers will be woken for nothing."
    )
    assert warning.hint == f"Set Q_CLUSTER['retry'] above {longest}."


def test_W006(database):
    database(CONN_MAX_AGE=0)
    [warning] = check_queue()
    assert isinstance(warning, Warning)
    assert warning.id == "sagas.W006"
    assert warning.msg == (
        "CONN_MAX_AGE is 0, so django-q2 opens a database connection for every call to its broker."
    )
    assert warning.hint == "Set DATABASES['default']['CONN_MAX_AGE'] to 600 or None."


def test_W007(database):
    database(OPTIONS=connection.settings_dict["OPTIONS"] | {"pool": True})
    [warning] = check_queue()
    assert isinstance(warning, Warning)
    assert warning.id == "sagas.W007"
    assert warning.msg == (
        "The database connection is pooled by psycopg, and django-q2's forked workers would share its "
        "sockets."
    )
    assert warning.hint == "Use the pool in the web process only."


@sqlite_only
def test_W008(conf):
    conf(BROKER_CLASS="sagas.queue.broker.NotifyBroker")
    [warning] = check_queue()
    assert isinstance(warning, Warning)
    assert warning.id == "sagas.W008"
    assert warning.msg == (
        "Q_CLUSTER['broker_class'] is to be woken by PostgreSQL through psycopg 3, and wake-ups are queued "
        f"elsewhere, so it looks for them every {Conf.POLL} s, as django-q2's own broker does."
    )
    assert warning.hint == "Keep sagas in PostgreSQL and install psycopg 3, or remove broker_class."


@pytest.mark.django_db
def test_W003():
    [warning] = check_recovery(databases=["default"])
    assert isinstance(warning, Warning)
    assert warning.id == "sagas.W003"
    assert warning.msg == (
        "Nobody looks for sagas that got stuck: django-q2 has no schedule for it, so a saga whose wake-up "
        "was lost waits until some other is started."
    )
    assert warning.hint == (
        "Run manage.py sync_schedules --install; or run saga_cluster, and silence this check."
    )
    install()
    assert check_recovery(databases=["default"]) == []


def test_W009(conf, settings):
    conf(RETRY=task_timeout() + 1, BROKER_CLASS=None)
    settings.SAGAS = {"ALLOWED_TASKS": ()}
    [warning] = check_queue()
    assert isinstance(warning, Warning)
    assert warning.id == "sagas.W009"
    assert (
        warning.msg
        == "SAGAS['ALLOWED_TASKS'] is set, and django-q2's own broker hands workers whatever was queued."
    )
    assert warning.hint == 'Set Q_CLUSTER["broker_class"] to "sagas.queue.broker.NotifyBroker".'


def test_a_broker_that_looks_at_tasks_leaves_nothing_to_warn_of(conf, settings):
    conf(RETRY=task_timeout() + 1, BROKER_CLASS="sagas.queue.broker.NotifyBroker")
    settings.SAGAS = {"ALLOWED_TASKS": ()}
    assert "sagas.W009" not in [found.id for found in check_queue()]
