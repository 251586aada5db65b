"""Hears what the engine tells the project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from django.dispatch import Signal

from sagas.signals import saga_compensated, saga_completed, saga_needs_attention


class Alarms:
    """What was heard: signals in order, and alerts."""

    def __init__(self) -> None:
        self.completed: list[UUID] = []
        self.compensated: list[UUID] = []
        self.attention: list[tuple[UUID, str]] = []
        self.alerts: list[tuple[UUID, str, str]] = []

    def heard(self) -> dict[str, list[Any]]:
        """Return all that was heard, by kind."""
        return {kind: heard for kind, heard in vars(self).items() if heard}

    def hear_completed(self, saga_id: UUID, **rest: object) -> None:
        self.completed.append(saga_id)

    def hear_compensated(self, saga_id: UUID, **rest: object) -> None:
        self.compensated.append(saga_id)

    def hear_attention(self, saga_id: UUID, attention: str, **rest: object) -> None:
        self.attention.append((saga_id, attention))


_alarms = Alarms()


def alert(saga_id: UUID, attention: str, message: str) -> None:
    """The project's own ``SAGAS["ALERT"]``."""
    _alarms.alerts.append((saga_id, attention, message))


@pytest.fixture
def alarms(settings) -> Iterator[Alarms]:
    """A project that listens. What is told after a commit needs one: see `committing`."""
    global _alarms
    _alarms = Alarms()
    settings.SAGAS = settings.SAGAS | {"ALERT": f"{__name__}.alert"}
    wires: list[tuple[Signal, Callable[..., None]]] = [
        (saga_completed, _alarms.hear_completed),
        (saga_compensated, _alarms.hear_compensated),
        (saga_needs_attention, _alarms.hear_attention),
    ]
    for signal, receiver in wires:
        signal.connect(receiver)
    yield _alarms
    for signal, receiver in wires:
        signal.disconnect(receiver)


@pytest.fixture
def committing(django_capture_on_commit_callbacks):
    """A block at whose end everything runs that waited for a commit."""
    return lambda: django_capture_on_commit_callbacks(execute=True)
