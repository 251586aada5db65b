"""Events of other systems, published here under their own ids: the same one again changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import transaction

from sagas.definitions import Event
from sagas.engine.publications import publish
from sagas.exceptions import EventClash, NotStorable
from sagas.models import OutboxMessage
from sagas.telemetry import traceparent_of

TEXTS = ("id", "source", "type", "subject", "correlationid", "causationid", "traceparent")
NEEDED = ("id", "source", "type")


def arrive(given: Any) -> tuple[UUID, bool]:
    """Publish a CloudEvent; return its id here, and whether it had arrived before.

    Raises `EventClash` if an event with its id has arrived that is another one, and `NotStorable`.
    """
    event = event_from(given)
    assert event.id is not None
    with transaction.atomic(using=OutboxMessage.objects.db):
        known = OutboxMessage.objects.filter(event_id=event.id).first()
        stored = known or _published(event)
        if (stored.topic, stored.key, stored.data) != (event.topic, event.key, event.data):
            raise EventClash(
                f"An event with the id {event.id} has arrived, and it is another one. Use a new id."
            )
    return event.id, known is not None


def _published(event: Event) -> OutboxMessage:
    """Publish an event; return it as it is stored, which another may have done at the same time."""
    [pk] = publish(event)
    return OutboxMessage.objects.get(event_id=pk)


def event_from(given: Any) -> Event:
    """Return the event that a CloudEvent 1.0 in its structured form tells of. Raises `NotStorable`.

    Attributes that mean nothing here are passed over.
    """
    if not isinstance(given, Mapping):
        raise NotStorable("The event was refused: it is no JSON object, as a CloudEvent is.")
    if given.get("specversion", "1.0") != "1.0":
        raise NotStorable(f"The event was refused: its specversion is {given['specversion']!r}, not '1.0'.")
    texts = {name: given.get(name) or "" for name in TEXTS}
    if wrong := [name for name, text in texts.items() if not isinstance(text, str)]:
        raise NotStorable(f"The event was refused: {', '.join(wrong)} must be text.")
    if missing := [name for name in NEEDED if not texts[name]]:
        raise NotStorable(f"The event was refused: it has no {', '.join(missing)}.")
    data, hops = given.get("data") or {}, given.get("hops") or 0
    if not isinstance(data, Mapping) or not isinstance(hops, int) or not 0 <= hops <= 1000:
        raise NotStorable("The event was refused: its data must be an object, its hops a number up to 1000.")
    return Event(
        texts["type"],
        data,
        texts["subject"],
        id=_id_of(texts["id"], texts["source"]),
        correlation_id=texts["correlationid"],
        causation_id=texts["causationid"],
        source=texts["source"],
        traceparent=traceparent_of(texts["traceparent"] or None),
        hops=hops,
    )


def _id_of(id: str, source: str) -> UUID:
    """Return the id by which the event is known here: its own if that is a UUID, else one made of it."""
    try:
        return UUID(id)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"{source}\x1f{id}")
