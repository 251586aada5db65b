"""What a message broker has to do for us, and the brokers that kombu knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured

from sagas.definitions import Event
from sagas.definitions.transports import Transport
from sagas.messaging.envelopes import cloud_event_of

CONTENT_TYPE = "application/cloudevents+json"
PATIENCE = timedelta(seconds=10)
AT_ONCE = 100
"""Events that a consumer is sent ahead of its answers."""
LOOK_EVERY = timedelta(seconds=1)
"""A consumer that hears nothing looks so often whether it is to stop."""


class Broker(Protocol):
    """A connection to a broker, opened when it is first used. One thread at a time uses it."""

    def send(self, event: Event) -> None:
        """Give an event to the broker; return when it has it."""

    def consume(self, take: Callable[[str | bytes], bool], *, until: Callable[[], bool]) -> None:
        """Hand over what the queue brings, one by one, until `until` says so.

        What `take` returns False for is put aside, and what it raises at is given back.
        """

    def close(self) -> None:
        """Let go of the connection."""


def library(name: str, extra: str) -> Any:
    """Return a library that only who has transports needs. Raises `ImproperlyConfigured`."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"SAGAS['TRANSPORTS'] needs {name}: pip install django-durable-sagas[{extra}]."
        ) from error


def envelope(event: Event) -> str:
    """Return the text in which an event travels."""
    return json.dumps(cloud_event_of(event), ensure_ascii=False)


class KombuBroker:
    """A topic exchange and a queue at AMQP, at whatever else kombu knows, or in memory."""

    def __init__(self, transport: Transport) -> None:
        kombu = library("kombu", "transports")
        seconds = PATIENCE.total_seconds()
        options: dict[str, Any] = {"max_retries": 1, "interval_start": 0}  # The delivery is tried again.
        if transport.url.startswith(("amqp", "pyamqp")):
            # RabbitMQ answers when it has stored the message; until then nothing is certain.
            options |= {"confirm_publish": True, "read_timeout": seconds}
        self._transport = transport
        self._exchange = kombu.Exchange(transport.exchange, type="topic", durable=True)
        self._queue = kombu.Queue(transport.queue, self._exchange, durable=True)
        self._connection = kombu.Connection(transport.url, connect_timeout=seconds, transport_options=options)

    def send(self, event: Event) -> None:
        """Give an event to the broker; return when it has it."""
        with self._connection.Producer() as producer:
            producer.publish(
                envelope(event),
                exchange=self._exchange,
                declare=[self._exchange],
                routing_key=event.topic,
                content_type=CONTENT_TYPE,
                content_encoding="utf-8",
                delivery_mode="persistent",
                message_id=str(event.id),
                correlation_id=event.correlation_id,
                retry=False,
                timeout=PATIENCE.total_seconds(),
            )

    def consume(self, take: Callable[[str | bytes], bool], *, until: Callable[[], bool]) -> None:
        """Hand over what the queue brings. A dead-letter exchange of the queue gets what is put aside."""

        def answer(message: Any) -> None:
            body = message.body
            try:
                is_taken = take(body if isinstance(body, str) else bytes(body))
            except BaseException:
                message.requeue()
                raise
            message.ack() if is_taken else message.reject()

        connection = self._connection
        with connection.channel() as channel:
            queue = self._queue(channel)
            self._exchange(channel).declare()
            queue.queue_declare()
            for topic in self._transport.receives:
                queue.bind_to(self._exchange, topic)
            with connection.Consumer(
                queue, channel=channel, on_message=answer, prefetch_count=AT_ONCE, accept=None
            ):
                while not until():
                    try:
                        connection.drain_events(timeout=LOOK_EVERY.total_seconds())
                    except TimeoutError:
                        connection.heartbeat_check()

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.release()
