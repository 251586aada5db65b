"""Where the sagas stand that have not ended, and what somebody has to look after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, DateTimeField, Min, Q, QuerySet, Value

from sagas.models import InboxMessage, InboxStatus, Saga
from sagas.models.saga import RETRYING
from sagas.operations.catalogue import STUCK_AFTER
from sagas.states import AT_WORK, LIVE, SagaStatus


@dataclass(frozen=True)
class Standing:
    """The sagas of one definition and status."""

    definition: str
    status: SagaStatus
    number: int
    oldest: datetime
    """When the oldest of them was started."""


@dataclass(frozen=True)
class Census:
    """All sagas that have not ended, and the events that have not reached everybody."""

    standing: Sequence[Standing]
    attention: int
    """How many need a person; some of these have ended."""
    retrying: int
    stuck: int
    """How many are due, and nobody moves them."""
    stuck_since: datetime | None
    late: int
    """How many deliveries of events are due."""
    late_since: datetime | None
    dead_letters: int
    """How many deliveries were given up, and await a person."""

    def number(self, status: SagaStatus) -> int:
        """Return how many stand so."""
        return sum(each.number for each in self.standing if each.status == status)

    def oldest(self, *statuses: SagaStatus) -> datetime | None:
        """Return when the oldest of those was started that stand so."""
        return min((each.oldest for each in self.standing if each.status in statuses), default=None)


def census(now: datetime) -> Census:
    """Count them: one statement, in partial indexes alone."""
    sagas = Saga.objects.order_by()
    counted = sagas.filter(status__in=LIVE).values_list(Value("standing"), "definition", "status")
    stuck = Q(status__in=AT_WORK, due_at__lt=now - STUCK_AFTER)
    deliveries = InboxMessage.objects.order_by()
    all_of_them = counted.annotate(number=Count("*"), oldest=Min("created_at")).union(
        _number(sagas.exclude(attention=""), "attention"),
        _number(sagas.filter(RETRYING), "retrying"),
        _number(sagas.filter(stuck), "stuck", Min("due_at")),
        _number(deliveries.filter(status=InboxStatus.DUE, due_at__lt=now), "late", Min("due_at")),
        _number(deliveries.filter(status=InboxStatus.DEAD), "dead_letters"),
        all=True,
    )
    standing, numbers, since = [], {}, {}
    for what, definition, status, number, oldest in all_of_them:
        if what == "standing":
            standing.append(Standing(definition, SagaStatus(status), number, oldest))
        else:
            numbers[what], since[what] = number, oldest
    return Census(standing, **numbers, stuck_since=since["stuck"], late_since=since["late"])


def _number(rows: QuerySet[Any], what: str, oldest: Any = None) -> QuerySet[Any, tuple[Any, ...]]:
    """Count rows in one row of the shape that the others have."""
    nothing = Value(None, output_field=DateTimeField())
    labelled = rows.values_list(Value(what), Value(""), Value(""))
    counted: QuerySet[Any, tuple[Any, ...]] = labelled.annotate(number=Count("*"), oldest=oldest or nothing)
    return counted
