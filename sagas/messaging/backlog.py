"""What waits for somebody to deliver it, or to look at it."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Exists, OuterRef, Q, QuerySet

from sagas.clock import DatabaseTime
from sagas.definitions import choreographies, subscriptions
from sagas.models import IN_THE_WAY, InboxMessage, InboxStatus, Saga
from sagas.states import AT_WORK, SagaKind


def deliveries_due(
    subscribers: Collection[str] | None = None, *, later: bool = False
) -> QuerySet[InboxMessage]:
    """Select the deliveries that can be made now, or `later` too: of each key only the first.

    Those to these subscribers; by default to all that the code knows.
    """
    before = InboxMessage.objects.filter(
        subscriber=OuterRef("subscriber"),
        key=OuterRef("key"),
        seq__lt=OuterRef("seq"),
        status__in=IN_THE_WAY,
    ).exclude(key="")
    known = [subscription.name for subscription in subscriptions] if subscribers is None else subscribers
    waiting = InboxMessage.objects.filter(status=InboxStatus.DUE, subscriber__in=known)
    if not later:
        waiting = waiting.filter(due_at__lte=DatabaseTime())
    return waiting.filter(Q(key="") | ~Exists(before)).order_by("due_at", "id")


def live_cases(names: Collection[str] | None = None) -> QuerySet[Saga]:
    """Select the sagas of choreographies, by default of all that the code knows, that have not ended."""
    known = [choreography.name for choreography in choreographies] if names is None else names
    return Saga.objects.filter(kind=SagaKind.CHOREOGRAPHY, definition__in=known, status__in=AT_WORK)


def has_work() -> bool:
    """Whether there is something to deliver, or a case to be looked at."""
    if len(subscriptions) and deliveries_due().exists():
        return True
    return len(choreographies) > 0 and live_cases().filter(due_at__lte=DatabaseTime()).exists()
