"""Sends events to message brokers outside, and takes events from them.

What is sent is a delivery like any other: written with the event, made in the order of its key, tried again,
and given up as a dead letter. A broker is given an event at least once, for an answer that was lost is no
answer; its id is the same each time. What is received is published here under its own id, in one transaction,
before the broker is told that it has arrived: the same event again changes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import closing
from threading import Lock
from typing import Any

from sagas.choreography.arrivals import arrive
from sagas.choreography.brokers import PATIENCE, Broker, KombuBroker
from sagas.choreography.streams import SCHEMES, StreamBroker
from sagas.conf import saga_settings
from sagas.definitions import PERSISTENT, Event, Subscription, subscriptions
from sagas.definitions.transports import Transport
from sagas.exceptions import EventClash, NotStorable

log = logging.getLogger("sagas.transports")

PREFIX = "transport:"


def install() -> None:
    """Subscribe the transports of the settings to what they send, and no others."""
    for subscription in [each for each in subscriptions if each.name.startswith(PREFIX)]:
        subscriptions.remove(subscription.name)
        if isinstance(subscription.handler, _Sender):
            subscription.handler.close()
    for transport in saga_settings().transports:
        for topic in transport.sends:
            subscriptions.add(
                Subscription(
                    topic=topic,
                    handler=_Sender(transport),
                    name=f"{PREFIX}{transport.name}:{topic}",
                    retry=PERSISTENT,
                    timeout=3 * PATIENCE,
                    atomic=False,
                )
            )


def transport_named(name: str) -> Transport:
    """Return a transport of the settings. Raises `LookupError`."""
    found = {transport.name: transport for transport in saga_settings().transports}
    if name not in found:
        known = ", ".join(found) or "none"
        raise LookupError(f"SAGAS['TRANSPORTS'] has no {name!r}. It has {known}.")
    return found[name]


def broker_of(transport: Transport) -> Broker:
    """Return a connection to the broker. Raises `ImproperlyConfigured` without the library for it."""
    is_stream = transport.url.partition(":")[0] in SCHEMES
    return StreamBroker(transport) if is_stream else KombuBroker(transport)


class _Sender:
    """The handler of one transport. It keeps a connection, which its process's threads take in turn."""

    __module__ = "sagas.choreography.transports"

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = Lock()
        self._broker: Broker | None = None
        self.__qualname__ = f"transport {transport.name}"

    def __call__(self, event: Event) -> None:
        with self._lock:
            try:
                self._broker = self._broker or broker_of(self._transport)
                self._broker.send(event)
            except BaseException:
                self._forget()
                raise

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        """Begin anew next time: who knows what the broker still awaits on this connection."""
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()


def consume(transport: Transport, *, until: Callable[[], bool]) -> int:
    """Publish here what the transport's queue brings, until it says so; return how many events that were.

    An event that cannot be published is refused, so that the broker puts it aside; one that the database does
    not take goes back into the queue, and the error is raised.
    """
    number = 0

    def take(body: str | bytes) -> bool:
        nonlocal number
        try:
            arrive(_read(body))
        except (NotStorable, EventClash) as refusal:
            log.error("An event from %s was refused: %s", transport.name, refusal)
            return False
        number += 1
        return True

    with closing(broker_of(transport)) as broker:
        broker.consume(take, until=until)
    return number


def _read(body: str | bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotStorable(f"The message is not JSON: {error}.") from error
