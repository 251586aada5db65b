"""Events as rows, written in the transaction of what they tell: the event, and a delivery to each subscriber.

Both are there or neither is. Everything that happens afterwards happens to the deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from uuid import UUID

from django.db import connections
from uuid_utils.compat import uuid7

from sagas.canonical import gate, is_storable
from sagas.conf import saga_settings
from sagas.definitions import Event, WaitForEvent, registry, subscriptions
from sagas.exceptions import NotStorable
from sagas.keys import MAX_KEY, event_id
from sagas.messaging.cases import open_cases
from sagas.messaging.envelopes import headers_of
from sagas.messaging.numbers import take_numbers
from sagas.models import InboxMessage, InboxStatus, OutboxMessage, OutboxStatus, Saga
from sagas.states import Direction
from sagas.telemetry import current_saga, traceparent_of

SUBSCRIBER = "sagas"
"""Under which name the waits of sagas receive events."""
MAX_TOPIC = 100
MOST_FROM_ONE = 1000
"""Events that the handling of one event may publish."""


@dataclass
class Collected:
    """What the handler of an event publishes, until it is written together with what became of it."""

    depth: int
    """How deep in transactions it was called: what is published deeper may be rolled back alone."""
    name: str
    events: list[Event] = field(default_factory=list)


collecting: ContextVar[Collected | None] = ContextVar("collecting", default=None)


@dataclass
class Rows:
    """The rows of events, not stored yet."""

    outbox: list[OutboxMessage] = field(default_factory=list)
    inbox: list[InboxMessage] = field(default_factory=list)


def transaction_depth(alias: str) -> int:
    """Return how many transactions and savepoints are open, one within the other."""
    connection = connections[alias]
    return int(connection.in_atomic_block) + len(connection.savepoint_ids)


def check(event: Event) -> None:
    """Raise `NotStorable` unless every database stores the event."""
    check_address(event.topic, event.key)
    for text in (event.correlation_id, event.causation_id, event.source):
        if len(text) > MAX_KEY or not is_storable(text):
            raise NotStorable(
                f"The event {event.topic!r} was refused: its correlation id, causation id and source must "
                f"have at most {MAX_KEY} characters each, and no NUL or lone surrogates."
            )
    gate(dict(event.data), f"The data of event {event.topic!r}")


def check_address(topic: str, key: str) -> None:
    """Raise `NotStorable` unless this is a topic and a key."""
    if not (0 < len(topic) <= MAX_TOPIC and len(key) <= MAX_KEY and is_storable(topic + key)) or ":" in topic:
        raise NotStorable(
            f"The event {topic[:40]!r} was refused: its topic must have 1 to {MAX_TOPIC} characters without "
            f"a colon, its key at most {MAX_KEY}, and neither may hold NUL or lone surrogates."
        )


def follow(cause: Event, event: Event, name: str, number: int) -> Event:
    """Return an event as it follows from another that `name` handles, which published so many before."""
    return replace(
        event,
        id=event.id or event_id(f"{cause.id}\x1f{name}", number),
        correlation_id=event.correlation_id or cause.correlation_id,
        causation_id=event.causation_id or str(cause.id),
        source=event.source or saga_settings().source,
        publisher=name,
        traceparent=traceparent_of(event.traceparent or None),
        hops=cause.hops + 1,
        is_way_back=event.is_way_back or cause.is_way_back,
    )


def of_saga(saga: Saga, event: Event, key: str, number: int) -> Event:
    """Return an event as it follows from an attempt of a saga's step, which has this idempotency key."""
    return replace(
        event,
        id=event_id(key, number),
        correlation_id=saga.correlation_id,
        causation_id=str(saga.pk),
        source=saga_settings().source,
        publisher=saga.definition,
        traceparent=saga.traceparent,
    )


def told_by_code(events: Iterable[Event]) -> list[Event]:
    """Return events as code tells them that handles no event."""
    saga_id = current_saga.get()
    correlation = ""
    if saga_id is not None:  # In a step, but not by its context: it is published whatever comes of the step.
        found = Saga.objects.filter(pk=saga_id).values_list("correlation_id", flat=True)
        correlation = found.first() or ""
    told = []
    for event in events:
        pk = event.id or uuid7()
        told.append(
            replace(
                event,
                id=pk,
                correlation_id=event.correlation_id or correlation or str(pk),
                causation_id=event.causation_id or str(saga_id or ""),
                source=event.source or saga_settings().source,
                traceparent=traceparent_of(event.traceparent or None),
            )
        )
    return told


def rows_of(alias: str, events: Sequence[Event], sagas: Sequence[UUID | None] = ()) -> Rows:
    """Return the rows of events whose every field is known; `sagas` says which saga published each.

    Takes their numbers: to be called late in a transaction, for others who publish under the same keys wait.
    """
    rows = Rows()
    if not events:
        return rows
    cases = open_cases(events)
    numbers = take_numbers(alias, [event.key for event in events])
    awaited = _awaited_topics()
    for index, (event, number) in enumerate(zip(events, numbers, strict=True)):
        assert event.id is not None
        way = cases.get(event.correlation_id)
        headers = headers_of(event)
        rows.outbox.append(
            OutboxMessage(
                event_id=event.id,
                topic=event.topic,
                key=event.key,
                seq=number,
                data=dict(event.data),
                headers=headers,
                saga_id=sagas[index] if sagas else None,
                correlation_id=event.correlation_id,
                causation_id=event.causation_id,
                status=OutboxStatus.SENT if way is None else OutboxStatus.PENDING,
            )
        )
        subscribed = subscriptions.to(event.topic)
        if event.topic in awaited or not subscribed:
            rows.inbox.append(_delivery(event, number, SUBSCRIBER, InboxStatus.PENDING))
        why = _why_not(event, way) if subscribed else None
        for subscription in subscribed:
            status = InboxStatus.DUE if why is None else InboxStatus.DEAD
            rows.inbox.append(_delivery(event, number, subscription.name, status, why))
    return rows


def _delivery(
    event: Event,
    number: int,
    subscriber: str,
    status: InboxStatus,
    why: tuple[str, str] | None = None,
) -> InboxMessage:
    error_class, error = why or ("", "")
    assert event.id is not None
    return InboxMessage(
        event_id=event.id,
        subscriber=subscriber,
        topic=event.topic,
        key=event.key,
        seq=number,
        data=dict(event.data),
        headers=headers_of(event),
        correlation_id=event.correlation_id,
        status=status,
        error_class=error_class,
        error=error,
    )


def _why_not(event: Event, way: Direction | None) -> tuple[str, str] | None:
    """Say why nobody is to handle the event without a person's word: class and text of an error."""
    if way is Direction.BACK and not event.is_way_back:
        return "CaseClosed", (
            "It was published after a person had its case undone. Resolve it if what it tells is undone too, "
            "or requeue it."
        )
    if event.hops > saga_settings().max_hops:
        return "TooManyHops", (
            f"It is {event.hops} events away from the first of its case, and SAGAS['MAX_HOPS'] is "
            f"{saga_settings().max_hops}: {_chain(event)}. Do its handlers answer each other for ever?"
        )
    return None


def _chain(event: Event) -> str:
    """Tell which events led to this one, the last few of them."""
    known = OutboxMessage.objects.filter(correlation_id=event.correlation_id).order_by("-id")
    by_id = {
        str(pk): (topic, cause)
        for pk, topic, cause in known.values_list("event_id", "topic", "causation_id")[:1000]
    }
    topics, cause = [event.topic], event.causation_id
    while cause in by_id and len(topics) < 10:
        topic, cause = by_id[cause]
        topics.append(topic)
    return ("… → " if cause in by_id else "") + " → ".join(reversed(topics))


def _awaited_topics() -> set[str]:
    """Return the topics that some registered definition of a saga waits for."""
    return {
        step.topic
        for definition in registry.values()
        for step in definition.outline().steps.values()
        if isinstance(step, WaitForEvent)
    }
