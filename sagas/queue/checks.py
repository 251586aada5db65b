"""What must be right about django-q2's settings, and what had better be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections, router
from django.utils.module_loading import import_string
from django_q.conf import Conf
from django_q.models import Schedule

from sagas.conf import saga_settings
from sagas.models import Saga
from sagas.queue.broker import NotifyBroker, can_notify
from sagas.queue.schedules import RECOVER, installed
from sagas.wake import task_timeout


@register("sagas")
def check_queue(**kwargs: Any) -> list[CheckMessage]:
    """Wake-ups reach a worker, and what runs there is not run twice or cut short."""
    return [*_errors(), *_warnings()]


@register("sagas", Tags.database, deploy=True)
def check_durability(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """What was committed stays committed when the machine goes down."""
    alias = Saga.objects.db
    if alias not in (databases or []) or connections[alias].vendor != "postgresql":
        return []
    found: list[CheckMessage] = []
    with connections[alias].cursor() as cursor:
        for setting in ("fsync", "synchronous_commit"):
            cursor.execute("SELECT current_setting(%s)", [setting])
            if cursor.fetchone()[0] == "off":
                found.append(
                    Error(
                        f"PostgreSQL runs with {setting}=off, so a crash of its machine forgets steps that "
                        "were carried out, and they would be carried out again.",
                        hint=f"Set {setting}=on.",
                        id="sagas.E023",
                    )
                )
    return found


@register("sagas", Tags.database, deploy=True)
def check_recovery(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Somebody looks for sagas whose wake-up was lost."""
    alias = router.db_for_read(Schedule)
    if alias not in (databases or []):
        return []
    if (
        Schedule._meta.db_table in connections[alias].introspection.table_names()
        and RECOVER.name in installed()
    ):
        return []
    return [
        Warning(
            "Nobody looks for sagas that got stuck: django-q2 has no schedule for it, so a saga whose "
            "wake-up was lost waits until some other is started.",
            hint="Run manage.py sync_schedules --install; or run saga_cluster, and silence this check.",
            id="sagas.W003",
        )
    ]


def _errors() -> Iterator[CheckMessage]:
    if not any(
        (Conf.ORM, Conf.REDIS, Conf.DJANGO_REDIS, Conf.SQS, Conf.IRON_MQ, Conf.MONGO, Conf.BROKER_CLASS)
    ):
        yield Error(
            "No broker is set for django-q2, so it would look for Redis on this host and no saga "
            "would be woken.",
            hint='Set Q_CLUSTER = {"name": "…", "orm": "default"}.',
            id="sagas.E020",
        )
    if Conf.SYNC:
        yield Error(
            "Q_CLUSTER['sync'] is on, so the request that starts a saga would run it, steps and all.",
            hint="Remove sync; tests drive sagas with sagas.testing.run_saga.",
            id="sagas.E021",
        )
    if Conf.ORM and Saga.objects.db != Conf.ORM:
        yield Error(
            f"Wake-ups are queued in the database {Conf.ORM!r} and sagas are kept in {Saga.objects.db!r}, so "
            "queueing one would close the connection of the transaction that started the saga.",
            hint=f"Set Q_CLUSTER['orm'] to {Saga.objects.db!r}.",
            id="sagas.E022",
        )


def _warnings() -> Iterator[CheckMessage]:
    database = settings.DATABASES[Saga.objects.db]
    options = database.get("OPTIONS", {})
    if connections[Saga.objects.db].vendor == "sqlite" and options.get("transaction_mode") != "IMMEDIATE":
        yield Warning(
            "Sagas are kept in SQLite without immediate transactions, so workers will meet 'database is "
            "locked'.",
            hint=f"Set DATABASES[{Saga.objects.db!r}]['OPTIONS']['transaction_mode'] to 'IMMEDIATE'.",
            id="sagas.W001",
        )
    if task_timeout() >= Conf.RETRY:
        yield Warning(
            f"django-q2 sends a wake-up again after {Conf.RETRY} s while a runner may be at work for "
            f"{task_timeout()} s, so workers will be woken for nothing.",
            hint=f"Set Q_CLUSTER['retry'] above {task_timeout()}.",
            id="sagas.W002",
        )
    if connections[Saga.objects.db].settings_dict.get("CONN_MAX_AGE") == 0:
        yield Warning(
            "CONN_MAX_AGE is 0, so django-q2 opens a database connection for every call to its broker.",
            hint=f"Set DATABASES[{Saga.objects.db!r}]['CONN_MAX_AGE'] to 600 or None.",
            id="sagas.W006",
        )
    if options.get("pool"):
        yield Warning(
            "The database connection is pooled by psycopg, and django-q2's forked workers would share "
            "its sockets.",
            hint="Use the pool in the web process only.",
            id="sagas.W007",
        )
    if _is_deaf():
        yield Warning(
            "Q_CLUSTER['broker_class'] is to be woken by PostgreSQL through psycopg 3, and wake-ups are "
            f"queued elsewhere, so it looks for them every {Conf.POLL} s, as django-q2's own broker does.",
            hint="Keep sagas in PostgreSQL and install psycopg 3, or remove broker_class.",
            id="sagas.W008",
        )

    if saga_settings().allowed_tasks is not None and not _has_our_broker():
        yield Warning(
            "SAGAS['ALLOWED_TASKS'] is set, and django-q2's own broker hands workers whatever was queued.",
            hint='Set Q_CLUSTER["broker_class"] to "sagas.queue.broker.NotifyBroker".',
            id="sagas.W009",
        )


def _is_deaf() -> bool:
    """Say whether the broker is one that listens, where it cannot."""
    return _has_our_broker() and not can_notify(connections[Saga.objects.db])


def _has_our_broker() -> bool:
    if not Conf.BROKER_CLASS:
        return False
    try:
        broker = import_string(Conf.BROKER_CLASS)
    except ImportError:
        return False
    return issubclass(broker, NotifyBroker)
