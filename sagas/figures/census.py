"""Where the sagas stand that have not ended, or that need a person although they have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q

from sagas.models import Saga
from sagas.operations.catalogue import STUCK_AFTER
from sagas.states import AT_WORK, LIVE, SagaStatus

LOUD = ~Q(attention="")
RETRYING = Q(status=SagaStatus.RUNNING, held_by=None) & ~Q(error_class="")
"""Goes forward, has failed at least once since its last step was done, and waits for its next attempt."""


@dataclass(frozen=True)
class Standing:
    """The sagas of one definition and status."""

    definition: str
    status: SagaStatus
    number: int
    oldest: datetime
    """When the oldest of them was started."""
    attention: int
    """How many of them need a person."""
    retrying: int
    stuck: int
    """How many are due, and nobody moves them."""
    stuck_since: datetime | None


def standing(now: datetime) -> list[Standing]:
    """Count those that live, and those that have ended but need a person. One statement."""
    stuck = Q(status__in=AT_WORK, due_at__lt=now - STUCK_AFTER)
    found = Saga.objects.filter(Q(status__in=LIVE) | LOUD).order_by().values_list("definition", "status")
    counted = found.annotate(
        Count("pk"),
        Min("created_at"),
        attention=Count("pk", filter=LOUD),
        retrying=Count("pk", filter=RETRYING),
        stuck=Count("pk", filter=stuck),
        stuck_since=Min("due_at", filter=stuck),
    )
    return [Standing(definition, SagaStatus(status), *rest) for definition, status, *rest in counted]
