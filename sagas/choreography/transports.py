"""Sends events to message brokers outside, and takes events from them, through kombu.

What is sent is a delivery like any other: written with the event, made in the order of its key, tried again,
and given up as a dead letter. A broker is given an event at least once, for an answer that was lost is no
answer; its id is the same each time. What is received is published here under its own id, in one transaction,
before the broker is told that it has arrived: the same event again changes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from threading import Lock
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from sagas.choreography.arrivals import arrive
from sagas.conf import saga_settings
from sagas.definitions import PERSISTENT, Event, Subscription, subscriptions
from sagas.definitions.transports import Transport
from sagas.exceptions import EventClash, NotStorable
from sagas.messaging.envelopes import cloud_event_of

log = logging.getLogger("sagas.transports")

PREFIX = "transport:"
CONTENT_TYPE = "application/cloudevents+json"
PATIENCE = timedelta(seconds=10)
AT_ONCE = 100
"""Events that a consumer is sent ahead of its answers."""
LOOK_EVERY = 1.0
"""Seconds after which a consumer that hears nothing looks whether it is to stop."""


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


class _Sender:
    """The handler of one transport. It keeps a connection, which its process's threads take in turn."""

    __module__ = "sagas.choreography.transports"

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = Lock()
        self._connection: Any = None
        self.__qualname__ = f"transport {transport.name}"

    def __call__(self, event: Event) -> None:
        with self._lock:
            try:
                self._connection = self._connection or connection_to(self._transport)
                send(self._transport, event, self._connection)
            except BaseException:
                self._forget()
                raise

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        """Begin anew next time: who knows what the broker still awaits on this connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


def connection_to(transport: Transport) -> Any:
    """Return a connection of kombu's, opened when it is first used. Raises `ImproperlyConfigured`."""
    options: dict[str, Any] = {}
    if transport.url.startswith(("amqp", "pyamqp")):
        # RabbitMQ answers when it has stored the message; until then nothing is certain.
        options = {"confirm_publish": True, "read_timeout": PATIENCE.total_seconds()}
    seconds = PATIENCE.total_seconds()
    return _kombu().Connection(transport.url, connect_timeout=seconds, transport_options=options)


def _kombu() -> Any:
    """Return the library, which only who has transports needs. Raises `ImproperlyConfigured`."""
    try:
        return import_module("kombu")
    except ImportError as error:
        raise ImproperlyConfigured(
            "SAGAS['TRANSPORTS'] needs kombu: pip install django-durable-sagas[transports]."
        ) from error


def send(transport: Transport, event: Event, connection: Any) -> None:
    """Give an event to the broker; return when it has it."""
    body = json.dumps(cloud_event_of(event), ensure_ascii=False)
    with connection.Producer() as producer:
        producer.publish(
            body,
            exchange=_exchange(transport),
            declare=[_exchange(transport)],
            routing_key=event.topic,
            content_type=CONTENT_TYPE,
            content_encoding="utf-8",
            delivery_mode="persistent",
            message_id=str(event.id),
            correlation_id=event.correlation_id,
            retry=False,  # The delivery is.
            timeout=PATIENCE.total_seconds(),
        )


def consume(transport: Transport, *, until: Callable[[], bool]) -> int:
    """Publish here what the transport's queue brings, until it says so; return how many events that were.

    An event that cannot be published is refused, so that the broker puts it where its queue says; one that
    the database does not take goes back into the queue, and the error is raised.
    """
    number = 0

    def take(message: Any) -> None:
        nonlocal number
        try:
            arrive(_read(message))
        except (NotStorable, EventClash) as refusal:
            log.error("An event from %s was refused: %s", transport.name, refusal)
            message.reject()
        except BaseException:
            message.requeue()
            raise
        else:
            message.ack()
            number += 1

    exchange = _exchange(transport)
    with connection_to(transport) as connection, connection.channel() as channel:
        queue = _kombu().Queue(transport.queue, exchange, durable=True)(channel)
        exchange(channel).declare()
        queue.queue_declare()
        for topic in transport.receives:
            queue.bind_to(exchange, topic)
        with connection.Consumer(
            queue, channel=channel, on_message=take, prefetch_count=AT_ONCE, accept=None
        ):
            while not until():
                try:
                    connection.drain_events(timeout=LOOK_EVERY)
                except TimeoutError:
                    connection.heartbeat_check()
    return number


def _exchange(transport: Transport) -> Any:
    return _kombu().Exchange(transport.exchange, type="topic", durable=True)


def _read(message: Any) -> Any:
    body = message.body
    try:
        return json.loads(body if isinstance(body, str) else bytes(body))
    except ValueError as error:
        raise NotStorable(f"The message is not JSON: {error}.") from error
