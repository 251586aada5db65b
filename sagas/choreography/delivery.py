"""One event on its way to one subscriber, and what came of bringing it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sagas.definitions import Event, Subscription
from sagas.exceptions import PermanentFailure


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One call to be made of a subscriber, with one event."""

    pk: int
    event: Event
    subscription: Subscription
    number: int
    """Counts the calls, those lost with their worker included."""
    counted: int
    """Counts those that the retry policy does."""
    since_first: timedelta
    in_doubt: bool = False
    """An earlier call may have taken effect."""

    @property
    def attributes(self) -> dict[str, str | int]:
        """Describe the delivery for traces."""
        return {
            "saga.definition": self.event.topic,
            "saga.step": self.subscription.name,
            "saga.event": str(self.event.id),
            "saga.attempt": self.number,
        }

    @property
    def label(self) -> str:
        """Name the delivery for logs and errors."""
        return f"call {self.number} of {self.subscription.name} with event {self.event.topic} {self.event.id}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call came to."""

    delivery: Delivery
    error: BaseException | None = None
    published: Sequence[Event] = ()

    @property
    def is_final(self) -> bool:
        """Whether the event is not brought to the subscriber again, unless a person says so."""
        policy, delivery = self.delivery.subscription.retry, self.delivery
        return (
            self.error is None
            or isinstance(self.error, PermanentFailure)
            or not policy.allows(delivery.counted, delivery.since_first)
        )
