"""What goes wrong, grouped: sagas that halted with the same error at the same step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Min, OuterRef, Q, Subquery
from django.db.models.functions import JSONObject

from sagas.clock import DatabaseTime
from sagas.models import Saga
from sagas.states import SagaStatus

MOST_GROUPS = 50
LATELY = timedelta(days=1)
SAMPLED = {name: name for name in ("definition", "current_step", "error_class", "error")}


@dataclass(frozen=True)
class FailureGroup:
    """Sagas that need a person for the same reason."""

    fingerprint: str
    """What a list and a batch select them by: ``error_fingerprint``."""
    definition: str
    step: str
    error_class: str
    message: str
    """Of one of them; the others differ in numbers and ids alone."""
    number: int
    lately: int
    """How many of them were started within the last day."""
    first_at: datetime
    last_at: datetime
    """When the first and the last of them were started."""


def failure_groups(most: int = MOST_GROUPS) -> tuple[FailureGroup, ...]:
    """Return the largest groups: one statement, that counts in an index and reads one saga of each group."""
    failed = Saga.objects.filter(status=SagaStatus.FAILED).order_by()
    alike = failed.filter(error_fingerprint=OuterRef("error_fingerprint")).order_by("-created_at")
    counted = failed.values_list("error_fingerprint").annotate(
        number=Count("*"),
        lately=Count("created_at", filter=Q(created_at__gt=DatabaseTime() - LATELY)),
        first_at=Min("created_at"),
        last_at=Max("created_at"),
    )
    # Only then, or it would be grouped by too, and read for every saga.
    sampled = counted.annotate(sample=Subquery(alike.values(told=JSONObject(**SAMPLED))[:1]))
    return tuple(
        FailureGroup(fingerprint, *(sample[name] for name in SAMPLED), *numbers)
        for fingerprint, *numbers, sample in sampled.order_by("-number", "error_fingerprint")[:most]
    )
