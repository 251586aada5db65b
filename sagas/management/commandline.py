"""What the commands share: who they act as, how they read durations and print, and what they exit with."""

from __future__ import annotations

import getpass
import json
import os
import re
import signal
import socket
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from time import monotonic, sleep
from types import FrameType
from typing import Any, Self
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model

from sagas.definitions import SagaDefinition, registry
from sagas.exceptions import UnknownDefinition

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)")
_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class ExitCode(IntEnum):
    """What a command exits with when it did not simply succeed; 1 and 2 are Django's and argparse's."""

    PARTLY_FAILED = 3
    ATTENTION = 4
    """Something was found that a person or a monitor has to know of."""


class Interruption:
    """SIGINT and SIGTERM during the block, heeded when the work in hand is done.

    The block ends by `SystemExit` then, with 130 or 143; at once if another comes.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._received is not None and kind is None:
            raise SystemExit(128 + self._received)

    @property
    def came(self) -> bool:
        """Whether one of them came."""
        return self._received is not None

    def wait(self, length: timedelta) -> None:
        """Wait so long, or until one comes."""
        until = monotonic() + length.total_seconds()
        while not self.came and (left := until - monotonic()) > 0:
            sleep(min(left, 0.1))  # A signal does not end a longer one.

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            raise KeyboardInterrupt  # Whoever says it twice does not want to wait.
        self._received = number


def actor() -> str:
    """Return whom the history names: the operating system's user on this host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # A container's user that has no name.
        user = str(os.getuid())
    return f"command:{user}@{socket.gethostname()}"


def ask(command: BaseCommand, question: str) -> None:
    """Go on if whoever sits there says yes."""
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Nobody is there to be asked. Add --no-input if you are sure.")
    command.stderr.write(f"{question} [y/N] ", ending="")
    if input().strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was done.")


def duration(text: str) -> timedelta:
    """Read a duration such as 90, 30s, 5m, 1h or 2d."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ArgumentTypeError(f"{text!r} is no duration. Write it like 30s, 5m, 1h or 2d.")
    try:
        return timedelta(**{_UNITS[match[2]]: float(match[1])})
    except OverflowError:
        raise ArgumentTypeError(f"{text!r} is longer than can be counted.") from None


def whole_seconds(length: timedelta) -> timedelta:
    """Return a duration that is worth reading."""
    return timedelta(seconds=int(length.total_seconds()))


def positive(text: str) -> int:
    """Read a number of rows."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number of at least 1.")
    return int(text)


def registered(text: str) -> type[SagaDefinition]:
    """Read the name of a definition."""
    try:
        return registry.named(text)
    except UnknownDefinition as error:
        raise ArgumentTypeError(str(error)) from None


def saga_id(text: str) -> UUID:
    """Read the id of a saga."""
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no id of a saga, which has 32 hexadecimal digits.") from None


def as_json(value: Any) -> str:
    """Return one line of JSON."""
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)


def record(row: Model, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """Return the columns of a row by name."""
    fields = [field for field in row._meta.concrete_fields if field.name not in without]
    return {field.attname: field.value_from_object(row) for field in fields}


def printable(text: str) -> str:
    """Return text that cannot steer the terminal: what steps raise may hold anything."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned columns."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)
