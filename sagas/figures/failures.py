"""What goes wrong, grouped: sagas that halted with the same error at the same step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_

from django.db.models import Count, Max, Min, Q

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
    """When the first and the last of them were started."""


def failure_groups(most: int = MOST_GROUPS) -> tuple[FailureGroup, ...]:
    """Return the largest groups: counted in an index of the failed sagas alone, and one saga read of each."""
    failed = Saga.objects.filter(status=SagaStatus.FAILED).order_by()
    counted = failed.values_list("error_fingerprint").annotate(
        number=Count("*"), first_at=Min("created_at"), last_at=Max("created_at")
    )
    groups = list(counted.order_by("-number", "error_fingerprint")[:most])
    if not groups:
        return ()
    latest = (Q(error_fingerprint=fingerprint, created_at=last_at) for fingerprint, _n, _f, last_at in groups)
    names = ("definition", "current_step", "error_class", "error")
    samples: dict[str, tuple[str, str, str, str]] = {
        fingerprint: (told[0], told[1], told[2], told[3])
        for fingerprint, *told in failed.filter(reduce(or_, latest)).values_list("error_fingerprint", *names)
    }
    return tuple(
        FailureGroup(fingerprint, *told, number, first_at, last_at)
        for fingerprint, number, first_at, last_at in groups
        # None if it was dealt with between the two statements.
        if (told := samples.get(fingerprint)) is not None
    )
