"""What the environment makes of the settings. Each in a process of its own, for settings are read once."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from tests.project.environment import ROOT, run_python

DEPLOYED = {
    "DEBUG": "0",
    "SECRET_KEY": "$begins-with-a-dollar",
    "ALLOWED_HOSTS": "sagas.example,www.sagas.example",
    "DATABASE_URL": "postgres://app:p%40ss@db.example:6432/sagas",
}


def read_settings(*names: str, **environment: str) -> dict[str, Any]:
    script = (
        "import json, sys; from sagaproject import settings; "
        "print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}, default=str))"
    )
    process = run_python("-c", script, *names, **environment)
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout)
    return result


def refusal(**environment: str) -> str:
    process = run_python("-c", "import sagaproject.settings", **environment)
    assert process.returncode != 0
    error, _, sentence = process.stderr.strip().splitlines()[-1].partition(": ")
    assert error == "django.core.exceptions.ImproperlyConfigured"
    return sentence


class TestWithoutEnvironment:
    def test_it_is_a_development_server_on_this_machine(self) -> None:
        given = read_settings("DEBUG", "ALLOWED_HOSTS", "SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE")

        assert given == {
            "DEBUG": True,
            "ALLOWED_HOSTS": ["localhost", "127.0.0.1", "[::1]"],
            "SECURE_SSL_REDIRECT": False,
            "SESSION_COOKIE_SECURE": False,
        }

    def test_it_keeps_sagas_in_a_sqlite_file_that_many_processes_can_write(self) -> None:
        database = read_settings("DATABASES")["DATABASES"]["default"]

        assert database["ENGINE"] == "django.db.backends.sqlite3"
        assert database["NAME"] == str(ROOT / "db.sqlite3")
        assert database["TEST"]["NAME"] == str(ROOT / "test.db.sqlite3")
        assert database["CONN_MAX_AGE"] is None
        assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
        assert database["OPTIONS"]["timeout"] == 20

    def test_processes_agree_on_a_secret_key(self) -> None:
        [web, worker] = [read_settings("SECRET_KEY")["SECRET_KEY"] for _ in range(2)]

        assert web == worker
        assert len(web) >= 50


def test_sqlite_is_asked_for_a_log_that_readers_do_not_wait_for(tmp_path: Path) -> None:
    script = (
        "from django.db import connection; cursor = connection.cursor(); "
        "print(*(cursor.execute(f'PRAGMA {name}').fetchone()[0] for name in ('journal_mode', 'synchronous')))"
    )

    process = run_python("-c", script, DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")

    normal = "1"
    assert process.stdout.split() == ["wal", normal], process.stderr


class TestDeployed:
    def test_it_takes_what_it_is_given(self) -> None:
        given = read_settings("DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "DATABASES", **DEPLOYED)

        assert given["DEBUG"] is False
        assert given["SECRET_KEY"] == "$begins-with-a-dollar"
        assert given["ALLOWED_HOSTS"] == ["sagas.example", "www.sagas.example"]
        database = given["DATABASES"]["default"]
        assert database["ENGINE"] == "django.db.backends.postgresql"
        assert (database["USER"], database["PASSWORD"]) == ("app", "p@ss")
        assert (database["HOST"], database["PORT"], database["NAME"]) == ("db.example", 6432, "sagas")

    def test_it_speaks_only_over_tls(self) -> None:
        names = ["SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"]

        assert read_settings(*names, **DEPLOYED) == dict.fromkeys(names, True)

    @pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            (
                "SECRET_KEY",
                "DEBUG is off and SECRET_KEY is not set. Web processes and workers have to sign with one "
                "key, for a worker deletes every message that was signed with another. Set SECRET_KEY to the "
                "same long random string for all of them.",
            ),
            (
                "ALLOWED_HOSTS",
                "DEBUG is off and ALLOWED_HOSTS is not set. The site answers only requests for a name it "
                "knows, so that nobody can make it write links to theirs. Set ALLOWED_HOSTS to its names, "
                "with commas between them.",
            ),
            (
                "DATABASE_URL",
                "DEBUG is off and DATABASE_URL is not set. Sagas would be kept in a SQLite file of this "
                "host, which no other host can work on. Set "
                "DATABASE_URL=postgres://user:password@host:5432/name.",
            ),
        ],
    )
    def test_it_refuses_to_start_without(self, name: str, sentence: str, value: str | None) -> None:
        environment = {key: given for key, given in DEPLOYED.items() if key != name}
        if value is not None:
            environment[name] = value

        assert refusal(**environment) == sentence


class TestPostgreSQL:
    def read(self, url: str) -> dict[str, Any]:
        database: dict[str, Any] = read_settings("DATABASES", DATABASE_URL=url)["DATABASES"]["default"]
        return database

    def test_connections_are_kept_and_never_pooled(self) -> None:
        database = self.read("postgres://localhost/sagas")

        assert database["CONN_MAX_AGE"] == 600
        assert database["CONN_HEALTH_CHECKS"] is True
        assert "pool" not in database["OPTIONS"]

    def test_nothing_waits_for_ever(self) -> None:
        options = self.read("postgres://localhost/sagas")["OPTIONS"]

        assert options["connect_timeout"] == 10
        assert options["options"] == (
            "-c lock_timeout=10s -c statement_timeout=30s -c idle_in_transaction_session_timeout=20s "
            "-c client_connection_check_interval=5s"
        )

    @pytest.mark.parametrize(
        ("environment", "prepared"),
        [
            (DEPLOYED, {"prepare_threshold": 5, "server_side_binding": True}),
            (DEPLOYED | {"PREPARE_STATEMENTS": "0"}, {}),
            ({}, {}),  # With DEBUG statements are logged, and those are not.
        ],
    )
    def test_statements_are_prepared_in_production(self, environment: dict[str, str], prepared: Any) -> None:
        address = {"DATABASE_URL": "postgres://localhost/sagas"}
        options = read_settings("DATABASES", **environment | address)["DATABASES"]["default"]["OPTIONS"]

        assert {name: options[name] for name in prepared} == prepared
        assert prepared or "prepare_threshold" not in options

    def test_an_address_may_say_more_and_replace_ours(self) -> None:
        options = self.read("postgres://h/n?sslmode=require&options=-c%20statement_timeout%3D0")["OPTIONS"]

        assert options == {
            "connect_timeout": 10,
            "options": "-c statement_timeout=0",
            "sslmode": "require",
        }

    def test_an_address_may_name_a_socket(self) -> None:
        database = self.read("postgres://app@:5433/sagas?host=/run/postgresql")

        assert (database["HOST"], database["PORT"]) == ("/run/postgresql", 5433)
        assert "host" not in database["OPTIONS"]


@pytest.mark.parametrize("url", ["mysql://u:secret@h/n", "postgres:u:secret@h/n", "secret"])
def test_other_databases_are_refused(url: str) -> None:
    assert refusal(DATABASE_URL=url) == (
        "DATABASE_URL begins with neither postgres:// nor sqlite://, and sagas are kept only in PostgreSQL "
        "or SQLite, where their locks and constraints are known to hold. Set it to "
        "postgres://user:password@host:5432/name or to sqlite:///path."
    )


def test_an_address_out_of_shape_is_refused_without_repeating_its_password() -> None:
    process = run_python("-c", "import sagaproject.settings", DATABASE_URL="postgres://app:sec/ret@h/n")

    assert "DATABASE_URL cannot be taken apart." in process.stderr
    assert "sec" not in process.stderr.replace("sagaproject", "")


class TestQueue:
    @pytest.mark.parametrize("workers", [1, 2, 3, 16])
    def test_no_message_is_delivered_again_while_its_first_delivery_may_wait_or_work(
        self, workers: int
    ) -> None:
        queue = read_settings("Q_CLUSTER", Q_WORKERS=str(workers))["Q_CLUSTER"]

        assert queue["workers"] == queue["queue_limit"] == workers
        waits = math.ceil((queue["queue_limit"] + queue["bulk"]) / queue["workers"])
        assert queue["retry"] > queue["timeout"] * (1 + waits)

    def test_the_guard_reaches_zero_and_does_not_step_over_it(self) -> None:
        queue = read_settings("Q_CLUSTER")["Q_CLUSTER"]

        left = queue["timeout"] + 3
        while left > 0:
            left -= queue["guard_cycle"]
        assert left == 0

    def test_seconds_that_become_alarms_are_whole(self) -> None:
        queue = read_settings("Q_CLUSTER")["Q_CLUSTER"]

        assert (type(queue["timeout"]), type(queue["retry"])) == (int, int)

    def test_wake_ups_go_to_the_database_of_the_sagas_and_leave_no_rows(self) -> None:
        queue = read_settings("Q_CLUSTER")["Q_CLUSTER"]

        assert queue["orm"] == "default"
        assert queue["save_limit"] == -1
        assert queue["ack_failures"] is True

    @pytest.mark.parametrize(
        ("url", "poll"), [("sqlite:///x.sqlite3", 0.1), ("postgres://localhost/sagas", 0.05)]
    )
    def test_sqlite_is_polled_less_often(self, url: str, poll: float) -> None:
        assert read_settings("Q_CLUSTER", DATABASE_URL=url)["Q_CLUSTER"]["poll"] == poll

    @pytest.mark.parametrize(
        ("environment", "is_told"),
        [
            ({"DATABASE_URL": "postgres://localhost/sagas"}, True),
            ({"DATABASE_URL": "postgres://localhost/sagas", "Q_NOTIFY": "0"}, False),
            ({"DATABASE_URL": "sqlite:///x.sqlite3"}, False),
        ],
    )
    def test_postgresql_tells_the_workers_unless_that_is_unwanted(
        self, environment: dict[str, str], is_told: bool
    ) -> None:
        queue = read_settings("Q_CLUSTER", **environment)["Q_CLUSTER"]

        assert queue.get("broker_class") == ("sagas.queue.broker.NotifyBroker" if is_told else None)

    def test_a_cluster_name_in_the_environment_breaks_no_command(self) -> None:
        process = run_python("-c", "import django_q.conf", Q_CLUSTER_NAME="other")

        assert process.returncode == 0, process.stderr

    @pytest.mark.parametrize("workers", ["0", "-1", "two", ""])
    def test_there_is_at_least_one_worker(self, workers: str) -> None:
        assert refusal(Q_WORKERS=workers) == (
            f"Q_WORKERS is {workers!r}, and without a worker no saga ever moves. Set it to 1 or more."
        )

    def test_every_worker_may_be_a_runner(self) -> None:
        given = read_settings("Q_CLUSTER", "SAGAS", Q_WORKERS="3", SAGAS_LEASE="7.5")

        assert given["SAGAS"] == {
            "QUEUE": given["Q_CLUSTER"]["name"],
            "RUNNERS": 3,
            "LEASE": "0:00:07.500000",
        }


class TestDoors:
    def test_the_admin_offers_no_way_to_run_any_callable(self) -> None:
        apps = {model._meta.app_label for model in admin.site._registry}

        assert "django_q" not in apps
        assert "orders" in apps  # The registry is the discovered one.

    def test_the_front_door_leads_to_the_admin(self) -> None:
        assert Client().get("/").headers["Location"] == reverse("admin:index")

    def test_the_api_asks_who_you_are_before_anything_else(self) -> None:
        answer = Client().get("/api/v1/orders/")

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Token"


def test_each_message_is_one_line_logged_once_and_says_of_which_saga() -> None:
    script = (
        "import django, logging, uuid; django.setup(); from sagas.telemetry import tracing\n"
        "with tracing(uuid.UUID(int=7)):\n"
        "    logging.getLogger('orders').info('charged')\n"
        "logging.getLogger('django.server').info('served')\n"
        "logging.getLogger('django-q').info('pushed')\n"
        "logging.getLogger('django-q').warning('slow')\n"
        "logging.getLogger('sagas').error('%s', 'no\\r\\n2026-01-01 00:00:00 INFO orders [saga -] paid')\n"
    )

    process = run_python("-c", script)

    lines = [line.partition(" ")[2].partition(" ")[2] for line in process.stderr.splitlines()]
    assert lines == [
        "INFO orders [saga 00000000-0000-0000-0000-000000000007] charged",
        "INFO django.server [saga -] served",
        "WARNING django-q [saga -] slow",
        r"ERROR sagas [saga -] no\r\n2026-01-01 00:00:00 INFO orders [saga -] paid",
    ]
