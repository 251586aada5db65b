"""A command in a session of its own: all it starts belongs to it, and none of it outlives it.

On Linux the kernel ends the processes with whoever started them. Where it cannot, and for what was started
before, the session's number and beginning are noted in a file that its keeper locks: a note without a lock
was left by a keeper that is gone, and what still lives of that session is ended.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from tempfile import gettempdir
from typing import IO

import psutil

log = logging.getLogger("sagas.supervision")

TO_DIE = timedelta(seconds=5)
"""How long the kernel may take to end what was killed."""


class Session:
    """A management command and its descendants, from its start to its end."""

    def __init__(self, *command: str, notes: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sagas.supervision.child", str(os.getpid()), *command],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._note = Note.written(notes, self._process.pid)

    @property
    def id(self) -> int:
        """The number of the session, of its group of processes, and of its first process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether its first process has ended."""
        return self._process.poll() is not None

    def stop(self, grace: timedelta) -> bool:
        """Ask it to end; after the grace, kill it. Return whether it ended by itself.

        Only the first process is asked: a signal to all of them would end steps in the middle and has
        django-q2's own stop wait for ever.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(grace.total_seconds())
        except subprocess.TimeoutExpired:
            return False
        finally:
            self.kill()
        return True

    def kill(self) -> None:
        """End all of it now."""
        kill_session(self.id)
        self._process.wait()
        self._note.remove()


class Note:
    """A file that says which session its keeper keeps."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self._path = path
        self._file = file

    @classmethod
    def written(cls, folder: Path, session: int) -> Note:
        """Write and lock a note of a session."""
        path = folder / f"{session}.json"
        draft = path.with_suffix(".draft")
        file = draft.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump({"session": session, "started": psutil.Process(session).create_time()}, file)
        file.flush()
        draft.rename(path)
        return cls(path, file)

    def remove(self) -> None:
        """Remove it: the session is over."""
        self._path.unlink(missing_ok=True)
        self._file.close()


def notes_of(queue: str) -> Path:
    """Return this user's folder for notes of sessions that serve a queue; nobody else may write there."""
    folder = Path(gettempdir()) / f"saga-cluster-{os.getuid()}-{queue}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise PermissionError(
            f"{folder} belongs to somebody else. Remove it, or set TMPDIR to another folder."
        )
    return folder


def end_orphans(notes: Path) -> list[int]:
    """End what is left of sessions whose keepers are gone; return the sessions' numbers."""
    ended = []
    for path in notes.glob("*.json"):
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # Its keeper lives.
            note = json.load(file)
            if _is_the_same(note["session"], note["started"]) and kill_session(note["session"]):
                ended.append(note["session"])
            path.unlink(missing_ok=True)
    return ended


def kill_session(session: int) -> int:
    """Kill every process of a session, and those they start meanwhile; return how many there were."""
    killed: set[int] = set()
    until = time.monotonic() + TO_DIE.total_seconds()
    while left := list(_members(session)):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed.add(pid)
        if time.monotonic() > until:
            log.error("Processes %s of session %d do not end.", left, session)
            break
        time.sleep(0.02)
    return len(killed)


def _is_the_same(session: int, started: float) -> bool:
    """Say whether the number still means that session. It is given away again when none is left of it."""
    try:
        return bool(abs(psutil.Process(session).create_time() - started) < 1)
    except psutil.NoSuchProcess:
        return all(psutil.Process(pid).create_time() > started - 1 for pid in _members(session))


def _members(session: int) -> Iterator[int]:
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                yield pid
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
