"""Durable boundaries: every COMMIT, every write that is its own transaction, every call of a step.

A process that is watched passes them one after the other. With a `Crash` it comes to grief at one of them, in
the way that is asked for; without, it only notes which it passed. Nothing in the engine knows of it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import FrameType
from typing import Any

import psycopg
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")
PASSED_OVER = ("sagas.engine.transactions",)
"""It commits for others."""


class Mode(StrEnum):
    """What goes wrong at a boundary."""

    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    EXITS = "exits"
    """By `os._exit`, behind it."""
    RAISES = "raises"
    """SystemExit, in place of what was to happen. A COMMIT that raises is one that is lost."""
    LOST = "commit lost"
    """The connection breaks before the database has carried the COMMIT out."""
    UNANSWERED = "answer lost"
    """The connection breaks after it has."""
    STOPPED = "stopped"
    """The process stands still behind the boundary, and goes on when others have gone on without it."""


GOES_ON = frozenset({Mode.LOST, Mode.UNANSWERED, Mode.STOPPED})
"""The process lives, and has to come to a good end by itself."""


@dataclass(frozen=True)
class Crash:
    """Where a process is to come to grief, and how.

    The place is a boundary's name and which pass of it: threads take turns as they like, so a count of all
    boundaries would lead now to a call and now to a COMMIT.
    """

    boundary: str
    nth: int
    mode: Mode

    def __str__(self) -> str:
        return f"{self.mode} at {self.boundary} ({self.nth})"


class Boundaries:
    """The boundaries that this process passes."""

    def __init__(self, crash: Crash | None = None, note: Callable[[str], None] = lambda name: None) -> None:
        self._crash = crash
        self._note = note
        self._passed: Counter[str] = Counter()
        self._looks_away = False
        self._lock = threading.RLock()
        self._written: dict[Any, bool] = {}
        """The connections whose transactions have written something."""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch this process while in it."""
        wrapper_class: Any = BaseDatabaseWrapper
        commit = wrapper_class._commit

        def watched_commit(wrapper: Any) -> Any:
            def lose() -> None:
                wrapper.connection.close()
                raise psycopg.OperationalError("the connection was lost")

            if not self._written.pop(wrapper.connection, False):
                return commit(wrapper)
            return self.passes(f"{_whose(sys._getframe(1))}: commit", lambda: commit(wrapper), lose=lose)

        def watch_writes(connection: Any, **given: Any) -> None:
            if self._watch_write not in connection.execute_wrappers:
                connection.execute_wrappers.append(self._watch_write)

        wrapper_class._commit = watched_commit
        connection_created.connect(watch_writes, weak=False)
        try:
            yield
        finally:
            wrapper_class._commit = commit
            connection_created.disconnect(watch_writes)

    @contextmanager
    def passed_over(self) -> Iterator[None]:
        """Pass those by that another scenario has."""
        self._looks_away = True
        try:
            yield
        finally:
            self._looks_away = False

    def passes(self, name: str, act: Callable[[], Any], *, lose: Callable[[], None] | None = None) -> Any:
        """Do what lies at a boundary, and come to grief if it is the one."""
        if self._looks_away:
            return act()
        with self._lock:
            self._passed[name] += 1
            mode = self._mode_at(name)
            self._note(name)
        match mode:
            case Mode.KILLED_BEFORE:
                os.kill(os.getpid(), signal.SIGKILL)
            case Mode.RAISES:
                raise SystemExit(1)
            case Mode.LOST if lose is not None:
                lose()
        came_to = act()
        match mode:
            case Mode.KILLED_AFTER:
                os.kill(os.getpid(), signal.SIGKILL)
            case Mode.EXITS:
                os._exit(1)
            case Mode.UNANSWERED if lose is not None:
                lose()
            case Mode.STOPPED if not _holds_locks():
                os.kill(os.getpid(), signal.SIGSTOP)
        return came_to

    def _mode_at(self, name: str) -> Mode | None:
        if self._crash is None or (self._crash.boundary, self._crash.nth) != (name, self._passed[name]):
            return None
        return self._crash.mode

    def _watch_write(
        self, execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        def act() -> Any:
            return execute(sql, parameters, many, context)

        if sql.lstrip().split(maxsplit=1)[0] not in WRITES:
            return act()
        if context["connection"].in_atomic_block:
            self._written[context["connection"].connection] = True
            return act()
        return self.passes(f"{_whose(sys._getframe(1))}: write", act)


def _holds_locks() -> bool:
    """Say whether others could not go on without this process: then it is slow, and not given up."""
    return any(wrapper.in_atomic_block for wrapper in connections.all(initialized_only=True))


def _whose(frame: FrameType | None) -> str:
    """Name the engine's function that is at work."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("sagas.") and module not in PASSED_OVER:
            name = frame.f_code.co_qualname.partition(".<")[0]
            return f"{module.removeprefix('sagas.')}.{name}"
        frame = frame.f_back
    return "the application"
