"""Subscriptions and choreographies for one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sagas import Choreography, Event, subscribe
from sagas.definitions import choreographies, subscriptions
from tests.engine.alarms import alarms, committing
from tests.engine.conftest import brisk

__all__ = ["alarms", "brisk", "committing"]


class Listener:
    """Subscribes functions for one test, and keeps what they were told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, Any]] = []
        """Subscriber, topic and data of every call that was made."""
        self.events: list[Event] = []

    def on(
        self, topic: str, does: Callable[[Event], Any] | None = None, *, name: str = "", **options: Any
    ) -> None:
        """Subscribe to a topic."""
        name = name or f"tests.{topic}"

        def handle(event: Event) -> None:
            self.heard.append((name, event.topic, dict(event.data)))
            self.events.append(event)
            if does is not None:
                does(event)

        handle.__qualname__ = name
        subscribe(topic, name=name, **options)(handle)

    def on_async(self, topic: str, handler: Callable[[Event], Any], **options: Any) -> None:
        """Subscribe a coroutine function."""
        subscribe(topic, name=f"tests.{topic}", **options)(handler)

    @property
    def topics(self) -> list[str]:
        """The topics of the calls, in their order."""
        return [topic for _name, topic, _data in self.heard]


@pytest.fixture
def listener() -> Iterator[Listener]:
    before = {each.name for each in subscriptions}
    yield Listener()
    for name in {each.name for each in subscriptions} - before:
        subscriptions.remove(name)


@pytest.fixture
def choreography() -> Iterator[Callable[..., Choreography]]:
    before = {each.name for each in choreographies}
    yield Choreography
    for name in {each.name for each in choreographies} - before:
        choreographies.remove(name)
