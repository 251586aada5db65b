"""Who handles which events: functions in an app's `sagas` module, known by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar

from sagas.definitions.events import Event
from sagas.definitions.policies import STANDARD, RetryPolicy

Handler: TypeAlias = Callable[[Event], None] | Callable[[Event], Awaitable[None]]
H = TypeVar("H", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """One function, and the topic whose events it handles."""

    topic: str
    handler: Handler
    name: str
    """Stored with every delivery: keep it when the function is renamed."""
    retry: RetryPolicy = STANDARD
    timeout: timedelta = timedelta(seconds=30)
    atomic: bool = True
    """Whether it is called in the transaction that records that it has handled the event."""
    undoes: str = ""
    """The topic whose events' consequences its own topic takes back."""


class Subscriptions:
    """The subscriptions of the installed apps, by name and by topic."""

    def __init__(self) -> None:
        self._by_name: dict[str, Subscription] = {}
        self._by_topic: dict[str, tuple[Subscription, ...]] = {}
        self.clashes: list[Subscription] = []

    def add(self, subscription: Subscription) -> None:
        """Register a subscription; a second one of the same name is kept for the checks to report."""
        known = self._by_name.setdefault(subscription.name, subscription)
        if _path(known.handler) == _path(subscription.handler):
            self._by_name[subscription.name] = subscription  # A reloaded module defines it anew.
        else:
            self.clashes.append(subscription)
        self._sort()

    def remove(self, name: str) -> None:
        """Forget a subscription, as tests do that make their own."""
        self._by_name.pop(name, None)
        self.clashes = [clash for clash in self.clashes if clash.name != name]
        self._sort()

    def to(self, topic: str) -> tuple[Subscription, ...]:
        """Return who handles events of this topic."""
        return self._by_topic.get(topic, ())

    def get(self, name: str) -> Subscription | None:
        """Return the subscription of this name, if the code has it."""
        return self._by_name.get(name)

    def undoing(self, topic: str) -> str:
        """Return the topic that takes back what followed from events of this one; empty if none does."""
        return next((each.topic for each in self if each.undoes == topic), "")

    def __iter__(self) -> Iterator[Subscription]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def _sort(self) -> None:
        topics = {each.topic for each in self}
        self._by_topic = {topic: tuple(s for s in self if s.topic == topic) for topic in topics}


subscriptions = Subscriptions()


def subscribe(
    topic: str,
    *,
    name: str = "",
    retry: RetryPolicy = STANDARD,
    timeout: timedelta = timedelta(seconds=30),
    atomic: bool = True,
    undoes: str = "",
) -> Callable[[H], H]:
    """Have a function handle the events of a topic, as a decorator in an app's `sagas` module.

    It takes the `Event`, and may be a ``def`` or an ``async def``. What it writes to this database and what
    it publishes commits once, together with the record that it has handled the event. It may raise
    `PermanentFailure`, which makes the delivery a dead letter, and `RetryLater`; after any other exception it
    is called again, as `retry` says. `undoes` names the topic whose events this one takes back.

    One that asks other systems is not `atomic`: no transaction is open while it is called. What it publishes
    still commits with the record, and it may be called twice with one event, whose id is then its key.
    """
    if timeout <= timedelta(0):
        raise ValueError(f"The timeout of a subscription to {topic!r} must be longer than nothing.")

    def decorate(handler: H) -> H:
        subscriptions.add(
            Subscription(
                topic=topic,
                handler=handler,
                name=name or _path(handler),
                retry=retry,
                timeout=timeout,
                atomic=atomic,
                undoes=undoes,
            )
        )
        return handler

    return decorate


def _path(handler: Callable[..., Any]) -> str:
    return f"{handler.__module__}.{handler.__qualname__}"
