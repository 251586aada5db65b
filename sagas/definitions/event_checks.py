"""What can be wrong with subscriptions and choreographies, found before an event is published. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from sagas.definitions.choreographies import Choreographies, Choreography
from sagas.definitions.problems import Problem
from sagas.definitions.subscriptions import Subscription, Subscriptions

MAX_TOPIC = 100
MAX_NAME = 200
RESERVED = "sagas"


def event_problems(subscriptions: Subscriptions, choreographies: Choreographies) -> Iterator[Problem]:
    """Find what is wrong with them, one by one and together."""
    for clash in subscriptions.clashes:
        yield Problem(
            "sagas.E030",
            f"Two functions subscribe to {clash.topic!r} under the name {clash.name!r}, so an event that "
            "waits could be either's.",
            "Name one of them: subscribe(…, name='…').",
        )
    for subscription in subscriptions:
        yield from _of_subscription(subscription)
    for choreography in choreographies.clashes:
        yield Problem(
            "sagas.E033",
            f"Choreography {choreography.name!r} starts with {choreography.starts!r}, and so does another: "
            "an event belongs to one case.",
            "Start it with an event of its own.",
        )
    for choreography in choreographies:
        yield from _of_choreography(choreography)


def _of_subscription(subscription: Subscription) -> Iterator[Problem]:
    if not is_topic(subscription.topic):
        yield Problem(
            "sagas.E031",
            f"{subscription.name} subscribes to {subscription.topic[:40]!r}, which no event can have as its "
            "topic.",
            f"A topic has 1 to {MAX_TOPIC} characters without a colon: 'order.created'.",
        )
    if len(subscription.name) > MAX_NAME or subscription.name == RESERVED:
        yield Problem(
            "sagas.E032",
            f"The name {subscription.name[:40]!r} of a subscription to {subscription.topic!r} is too long or "
            "reserved.",
            f"Name it: subscribe(…, name='…'), with at most {MAX_NAME} characters and not {RESERVED!r}.",
        )
    if subscription.undoes and subscription.undoes == subscription.topic:
        yield Problem(
            "sagas.E034",
            f"{subscription.name} undoes {subscription.undoes!r} when it hears of {subscription.topic!r}, "
            "which is the same: it would be told that something happened in order to undo it.",
            "Subscribe to another topic, such as 'stock.release' for 'stock.reserved'.",
        )


def _of_choreography(choreography: Choreography) -> Iterator[Problem]:
    if both := sorted(set(choreography.ends) & set(choreography.undone)):
        yield Problem(
            "sagas.E035",
            f"Choreography {choreography.name!r} both ends and is undone with {', '.join(both)}.",
            "Say one of the two.",
        )


def is_topic(text: str) -> bool:
    """Say whether an event can have this topic."""
    return 0 < len(text) <= MAX_TOPIC and ":" not in text
