"""A database whose disk is full, or that has no connection left: it is said aloud, and nothing is lost."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections
from psycopg.conninfo import make_conninfo
from rest_framework.test import APIClient

from sagas import start
from sagas.engine import runner
from sagas.models import Saga, SagaStep
from sagas.queue.tasks import run_due as run_task
from tests.engine.runs import run
from tests.samples import postgresql_only, statuses, step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("brisk"), postgresql_only]

URL = "/api/v1/sagas/"
SLEEP = "sagas.engine.transactions.time.sleep"
GROWING = ("sagas_sagastep", "sagas_historyentry")


class Stumbling(ABC):
    """A resource that a test takes away, and that is there again after some tries."""

    tries = 0

    @abstractmethod
    def fill(self) -> None: ...

    @abstractmethod
    def free(self) -> None: ...

    def tried(self, seconds: float) -> None:
        """Stand in for the pause between two tries."""
        self.tries += 1
        if self.tries == 3:
            self.free()


class SmallDisk(Stumbling):
    """What grows is on a disk of 2 MB."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "else"

    def fill(self) -> None:
        with self._file.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"\0" * 4096):
                pass
        saga = Saga.objects.first()
        # What is left of a page that was begun is used up too.
        full = suppress(psycopg.errors.DiskFull)
        with psycopg.connect(_address(), autocommit=True) as other, full:
            while saga is not None:
                other.execute(
                    "INSERT INTO sagas_historyentry (saga_id, kind, actor_kind, actor, operation, reason,"
                    " from_status, to_status, step, direction, data) VALUES"
                    " (%s, 'act', 'code', '', '', '', '', '', '', '', '{}')",
                    [saga.pk],
                )

    def free(self) -> None:
        self._file.unlink(missing_ok=True)


class FullByWord(Stumbling):
    """Where no disk can be mounted: the database says of these tables what it would say of that disk."""

    def fill(self) -> None:
        with psycopg.connect(_address()) as other:
            other.execute(
                "CREATE FUNCTION pg_temp_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
                " 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"
            )
            for table in GROWING:
                other.execute(
                    f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} EXECUTE FUNCTION pg_temp_full()"
                )

    def free(self) -> None:
        with psycopg.connect(_address()) as other:
            other.execute("DROP FUNCTION IF EXISTS pg_temp_full CASCADE")


def _address() -> str:
    """Return where the database under test is, for a connection beside Django's."""
    told = connection.settings_dict
    named = {name: str(told[name.upper()]) for name in ("user", "password", "host", "port")}
    return make_conninfo(
        "", dbname=str(told["NAME"]), **{name: value for name, value in named.items() if value}
    )


@pytest.fixture
def full_by_word(db) -> Iterator[Stumbling]:
    with ExitStack() as stack:
        disk = FullByWord()
        stack.callback(disk.free)
        yield disk


@pytest.fixture
def small_disk(db) -> Iterator[Stumbling]:
    """A disk that is full in truth, where one can be mounted."""
    try:
        stack = ExitStack()
        disk: Stumbling = SmallDisk(stack.enter_context(_Mounted()))
    except _NoDisk:
        disk = FullByWord()
    with stack:
        stack.callback(disk.free)
        yield disk


class _NoDisk(Exception):
    pass


class _Mounted:
    """A tablespace on a disk of 2 MB, with the tables that grow in it."""

    def __enter__(self) -> Path:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid(), usesuper FROM pg_user WHERE usename = current_user")
            pid, may = cursor.fetchone()
        server = Path(f"/proc/{pid}")
        if os.geteuid() != 0 or not may or not server.exists():
            raise _NoDisk("needs root here, a superuser there, and a server on this host")
        self._home = Path(tempfile.mkdtemp(dir="/tmp"))
        self._home.chmod(0o711)
        self._folder = self._home / "disk"
        self._folder.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "none", self._folder], capture_output=True, check=False
        )
        if mounted.returncode:
            shutil.rmtree(self._home)
            raise _NoDisk("nothing can be mounted here")
        space = self._folder / "space"
        space.mkdir(0o700)
        owner = server.stat()
        os.chown(space, owner.st_uid, owner.st_gid)
        self._move(f"CREATE TABLESPACE small LOCATION '{space}'", "small")
        return self._folder

    def __exit__(self, *error: object) -> None:
        self._move("SELECT 1", "pg_default")
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLESPACE small")
        subprocess.run(["umount", self._folder], check=True)
        shutil.rmtree(self._home)

    def _move(self, before: str, space: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(before)
            for table in GROWING:
                cursor.execute(f"ALTER TABLE {table} SET TABLESPACE {space}")


@pytest.fixture
def api(db) -> APIClient:
    client = APIClient()
    client.force_authenticate(User.objects.create(username="root", is_superuser=True))
    return client


def test_a_start_that_cannot_be_written_is_refused_and_leaves_nothing(define, full_by_word, api):
    body = {"definition": define(step("pay")).name, "input": {}}
    full_by_word.fill()

    answer = api.post(URL, body, format="json")

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert not Saga.objects.exists()
    full_by_word.free()
    assert api.post(URL, body, format="json").status_code == 202


def test_what_cannot_be_marked_is_not_sent(define, play, full_by_word, monkeypatch, caplog):
    saga = start(define(step("pay")), {})
    full_by_word.fill()
    sent: list[list[str]] = []

    def tried(seconds: float) -> None:
        sent.append(list(play.calls))
        full_by_word.tried(seconds)

    monkeypatch.setattr(SLEEP, tried)
    with caplog.at_level(logging.WARNING, logger="sagas.engine"):
        run()

    assert sent == [[], [], []]
    assert "No space left on device" in caplog.text
    assert play.calls == ["pay"]
    assert statuses(saga) == {"pay": "completed"}


def test_what_came_of_a_call_is_kept_until_there_is_room_to_write_it(define, play, small_disk, monkeypatch):
    definition = define(step("pay"))
    small_disk.fill()
    with pytest.raises(OperationalError, match="No space left on device"):
        start(definition, {})
    small_disk.free()
    saga = start(definition, {})
    play.says("pay", lambda ctx: small_disk.fill())
    monkeypatch.setattr(SLEEP, small_disk.tried)

    run()

    assert small_disk.tries == 3
    assert play.calls == ["pay"]
    saga.refresh_from_db()
    assert (saga.status, Saga.objects.count()) == ("completed", 1)
    assert statuses(saga) == {"pay": "completed"}


def test_a_disk_that_stays_full_costs_no_attempt(define, play, full_by_word, monkeypatch):
    saga = start(define(step("pay")), {})
    full_by_word.fill()
    pauses: list[float] = []
    monkeypatch.setattr(SLEEP, pauses.append)
    monkeypatch.setattr(runner, "PAUSE_WITHOUT_DATABASE", 0.0)
    monkeypatch.setattr(runner.Runner, "_claim", _give_up_after(3, runner.Runner._claim))

    with pytest.raises(ZeroDivisionError):
        run()

    assert len(pauses) == 3 * 7
    assert play.calls == []
    assert SagaStep.objects.get().attempts == 0
    full_by_word.free()
    monkeypatch.undo()
    run()
    assert statuses(saga) == {"pay": "completed"}


def _give_up_after(number, claim):
    left = iter(range(number))

    async def claim_or_give_up(self):
        if next(left, None) is None:
            raise ZeroDivisionError
        return await claim(self)

    return claim_or_give_up


OF_ROLE = "SELECT 1 FROM pg_stat_activity WHERE usename = %s"


class Role:
    """A role of the database with room for one connection, which the tests take and give back."""

    NAME = "one_connection"

    def __init__(self, operator: psycopg.Connection) -> None:
        self._operator = operator
        self._taken: psycopg.Connection | None = None

    def take(self) -> None:
        connections.close_all()
        self._wait_until_free()
        self._taken = psycopg.connect(_address())

    def give_back(self) -> None:
        if self._taken is not None:
            self._taken.close()
        self._wait_until_free()

    def _wait_until_free(self) -> None:
        """The server counts a connection for a moment after it was closed."""
        deadline = time.monotonic() + 10
        while self._operator.execute(OF_ROLE, [self.NAME]).fetchone() and time.monotonic() < deadline:
            time.sleep(0.01)


@pytest.fixture
def role(db, monkeypatch) -> Iterator[Role]:
    """The tests are this role, while a superuser may connect as ever."""
    with psycopg.connect(_address(), autocommit=True) as operator:
        row = operator.execute("SELECT usesuper FROM pg_user WHERE usename = current_user").fetchone()
        if row is None or not row[0]:
            pytest.skip("needs a superuser")
        operator.execute(f"CREATE ROLE {Role.NAME} LOGIN CONNECTION LIMIT 1")
        operator.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {Role.NAME}")
        operator.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {Role.NAME}")
        role = Role(operator)
        with monkeypatch.context() as patch:
            patch.setitem(connection.settings_dict, "USER", Role.NAME)
            connections.close_all()
            yield role
            connections.close_all()
            role.give_back()
        operator.execute(f"DROP OWNED BY {Role.NAME}")
        operator.execute(f"DROP ROLE {Role.NAME}")


def test_where_no_connection_is_left_it_is_said_and_work_goes_on_when_there_is_one(
    define, play, role, api, caplog
):
    body = {"definition": define(step("pay")).name, "input": {}}
    saga = start(body["definition"], {})
    role.take()

    run_task()
    answer = api.post(URL, body, format="json")

    assert "too many connections for role" in caplog.text
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert play.calls == []
    role.give_back()
    run()
    assert play.calls == ["pay"]
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_a_runner_that_gets_no_second_connection_works_with_the_one_it_has(
    define, play, role, settings, caplog
):
    settings.SAGAS = settings.SAGAS | {"LEASE": timedelta(milliseconds=150)}
    start(define(step("pay")), {})
    play.always("pay", lambda ctx: time.sleep(0.1))

    run()

    assert "A heartbeat could not be written" in caplog.text
    assert Saga.objects.get().status == "completed"
