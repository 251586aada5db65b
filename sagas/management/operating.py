"""Asks an operation of the sagas that a command line names, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count

from sagas.clock import database_now
from sagas.exceptions import OperationRefused
from sagas.models import Saga
from sagas.operations.actors import By
from sagas.operations.operation import Operation
from sagas.operations.performing import perform
from sagas.operations.selection import Selection
from sagas.states import AT_WORK

CHUNK = 1000


@dataclass(frozen=True)
class Chosen:
    """A saga that was chosen, as it stood then."""

    id: UUID
    status: str
    revision: int

    @property
    def expected_revision(self) -> int | None:
        """What the saga must still be at; one at work may move on meanwhile."""
        return None if self.status in AT_WORK else self.revision


@dataclass
class Report:
    """What became of the wish."""

    operation: str
    selected: int
    requested: int = 0
    refusals: dict[str, str] = field(default_factory=dict)
    """Why not, by the saga's id."""
    statuses: dict[str, int] = field(default_factory=dict)
    """How those stand of which it was asked, once they were waited for."""


def choose(operation: Operation, selection: Selection, limit: int | None) -> tuple[list[Chosen], list[UUID]]:
    """Return the sagas that are meant, the oldest first, and the ids that none has.

    A filter finds only those of which the operation may be asked at all; whoever names ids is told why not.
    """
    sagas = selection.sagas()
    if selection.filter:
        sagas = sagas.filter(operation.candidates())
    rows = sagas.order_by("created_at", "pk").values_list("pk", "status", "revision")[:limit]
    found = [Chosen(*row) for row in rows]
    missing = set() if limit else set(selection.ids) - {saga.id for saga in found}
    return found, sorted(missing)


def operate(
    operation: Operation,
    chosen: Sequence[Chosen],
    *,
    by: By,
    reason: str,
    arguments: Mapping[str, Any],
    is_stopping: Callable[[], bool] = lambda: False,
) -> Report:
    """Ask it of each, in a transaction of its own. What has changed since it was chosen is left alone."""
    report = Report(operation.name, len(chosen))
    for saga in chosen:
        if is_stopping():
            break
        try:
            perform(
                saga.id,
                operation.name,
                by=by,
                reason=reason,
                expected_revision=saga.expected_revision,
                **arguments,
            )
        except (OperationRefused, Saga.DoesNotExist) as refusal:
            report.refusals[str(saga.id)] = str(refusal)
        else:
            report.requested += 1
    return report


def wait_for(chosen: Sequence[Chosen], most: timedelta, *, wait: Callable[[], bool]) -> dict[str, int]:
    """Wait until workers leave these sagas alone, or the time is over; return how many stand how.

    `wait` waits a moment, and says whether to go on.
    """
    until = database_now(Saga.objects.db) + most
    while True:
        statuses: dict[str, int] = {}
        for start in range(0, len(chosen), CHUNK):
            ids = [saga.id for saga in chosen[start : start + CHUNK]]
            counted = Saga.objects.filter(pk__in=ids).order_by().values_list("status")
            for status, number in counted.annotate(Count("pk")):
                statuses[status] = statuses.get(status, 0) + number
        if not statuses.keys() & set(AT_WORK) or database_now(Saga.objects.db) >= until or not wait():
            return statuses
