"""What goes wrong, grouped: sagas that halted with the same error at the same step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min

from sagas.models import Saga
from sagas.states import SagaStatus

MOST_GROUPS = 50


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
    first_at: datetime
    last_at: datetime
    """When the first and the last of those that stand now halted, or were changed by hand since."""


def failure_groups(most: int = MOST_GROUPS) -> tuple[FailureGroup, ...]:
    """Return the largest groups. One statement, which reads the failed sagas alone."""
    failed = Saga.objects.filter(status=SagaStatus.FAILED).order_by()
    groups = failed.values_list("error_fingerprint").annotate(
        Min("definition"),
        Max("current_step"),
        Min("error_class"),
        Max("error"),
        number=Count("pk"),
        first_at=Min("updated_at"),
        last_at=Max("updated_at"),
    )
    return tuple(FailureGroup(*row) for row in groups.order_by("-number", "error_fingerprint")[:most])
