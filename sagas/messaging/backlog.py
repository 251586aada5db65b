"""What waits for somebody to deliver it, or to look at it."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Exists, OuterRef, Q, QuerySet

from sagas.clock import DatabaseTime
from sagas.definitions import choreographies, subscriptions
from sagas.models import InboxMessage, InboxStatus, Saga
from sagas.states import AT_WORK, SagaKind


def deliveries_due(*, later: bool = False, without: Collection[str] = ()) -> QuerySet[InboxMessage]:
    """Select the deliveries that this code can make now, or `later` too: of each key only the first.

    Those to the subscribers `without` are left out.
    """
    before = InboxMessage.objects.filter(
        subscriber=OuterRef("subscriber"),
        key=OuterRef("key"),
        seq__lt=OuterRef("seq"),
        status__in=[InboxStatus.DUE, InboxStatus.DEAD],
    ).exclude(key="")
    known = [subscription.name for subscription in subscriptions if subscription.name not in without]
    waiting = InboxMessage.objects.filter(status=InboxStatus.DUE, subscriber__in=known)
    if not later:
        waiting = waiting.filter(due_at__lte=DatabaseTime())
    return waiting.filter(Q(key="") | ~Exists(before)).order_by("due_at", "id")


def live_cases() -> QuerySet[Saga]:
    """Select the sagas of choreographies that the code knows and that have not ended."""
    names = [choreography.name for choreography in choreographies]
    return Saga.objects.filter(kind=SagaKind.CHOREOGRAPHY, definition__in=names, status__in=AT_WORK)


def has_work() -> bool:
    """Whether there is something to deliver, or a case to be looked at."""
    if len(subscriptions) and deliveries_due().exists():
        return True
    return len(choreographies) > 0 and live_cases().filter(due_at__lte=DatabaseTime()).exists()
