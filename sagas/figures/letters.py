"""What was given up, grouped: deliveries of one topic to one subscriber that failed with the same error."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min

from sagas.models import InboxMessage, InboxStatus

MOST_GROUPS = 50


@dataclass(frozen=True)
class LetterGroup:
    """Dead letters that await a person for the same reason."""

    subscriber: str
    topic: str
    error_class: str
    number: int
    first_at: datetime
    last_at: datetime
    """When the events of the first and the last of them were published."""
    one: int
    """The delivery that was published last: the others are like it."""


def letter_groups(most: int = MOST_GROUPS) -> list[LetterGroup]:
    """Return the largest groups: one statement, which reads dead letters alone."""
    dead = InboxMessage.objects.filter(status=InboxStatus.DEAD).order_by()
    counted = dead.values_list("subscriber", "topic", "error_class").annotate(
        number=Count("*"), first_at=Min("at"), last_at=Max("at"), one=Max("pk")
    )
    return [LetterGroup(*row) for row in counted.order_by("-number", "subscriber", "topic")[:most]]
