"""Moves what got stuck: asks workers to look, runs the sagas in this process, or turns them back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from sagas.choreography.courier import Courier
from sagas.clock import database_now
from sagas.definitions import choreographies, registry
from sagas.engine.garbage import collected_seldom
from sagas.engine.recovery import Lost, lost, overdue, recover
from sagas.engine.runner import Ran, Runner
from sagas.exceptions import OperationRefused
from sagas.messaging.backlog import deliveries_due
from sagas.models import Saga
from sagas.operations.performing import perform
from sagas.states import SagaStatus
from sagas.wake import wake

CHUNK = 1000
"""Sagas that one runner is restricted to, for they are named one by one in its statements."""


@dataclass(frozen=True)
class Wanted:
    """Which sagas to look at."""

    older_than: timedelta = timedelta(0)
    definition: str | None = None
    sagas: Sequence[UUID] = ()
    classes: Sequence[Lost] = tuple(Lost)
    limit: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing that is due is left out."""
        return self == Wanted()

    def find(self) -> list[Found]:
        """Return what got stuck, the longest overdue first."""
        query = lost(self.older_than, self.classes).defer("input")
        if self.definition is not None:
            query = query.filter(definition=self.definition)
        if self.sagas:
            query = query.filter(pk__in=self.sagas)
        now = database_now(Saga.objects.db)
        return [Found.of(saga, now) for saga in query[: self.limit]]


@dataclass(frozen=True)
class Found:
    """A saga that should have moved."""

    id: UUID
    label: str
    status: str
    lost: Lost
    overdue_by: timedelta | None
    """None: it is not due, but should have been made so."""
    can_run: bool
    """Whether the code in front of us knows the definition, in a version no older than the saga's."""

    @classmethod
    def of(cls, saga: Any, now: datetime) -> Found:
        """Read a row of `lost`."""
        known = registry.get(saga.definition)
        is_kept = choreographies.get(saga.definition) is not None
        return cls(
            id=saga.pk,
            label=str(saga),
            status=saga.status,
            lost=Lost(saga.lost),
            overdue_by=now - saga.due_at if saga.due_at is not None and saga.due_at <= now else None,
            can_run=is_kept or (known is not None and saga.version <= known.version),
        )


@dataclass
class Summary:
    """What became of the sagas that were found."""

    scanned: int = 0
    recovered: int = 0
    """They moved; or, where nothing was run here, workers were asked to move them."""
    skipped: int = 0
    """They stand as they stood."""
    failed: int = 0
    """They moved, and now need a person."""
    by_class: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Sequence[Found]) -> Summary:
        """Count what was found, and nothing done yet."""
        counted = Counter(saga.lost for saga in found)
        return cls(
            scanned=len(found),
            skipped=len(found),
            by_class={lost.value: counted[lost] for lost in Lost},
        )


def ring(found: Sequence[Found]) -> Summary:
    """Ask the workers to look. Asking twice does no harm."""
    summary = Summary.of(found)
    summary.recovered = sum(saga.can_run for saga in found)
    summary.skipped -= summary.recovered
    if summary.recovered:
        recover()
    return summary


def turn_back(found: Sequence[Found], *, by: str, reason: str) -> list[str]:
    """Turn the sagas back, or ask it of whoever has them.

    Return the sentences of those that refused: they go on as they went.
    """
    refusals: list[str] = []
    for saga in found:
        try:
            perform(saga.id, "compensate", by=by, reason=reason)
        except OperationRefused as refusal:
            refusals.append(str(refusal))
    return refusals


def run(
    wanted: Wanted, found: Sequence[Found], *, is_stopping: Callable[[], bool] = lambda: False
) -> Summary:
    """Run the sagas in this process, without the queue, until nothing of them is due or others have it.

    `is_stopping` is asked from time to time whether to leave it at that.
    """
    recover()
    if wanted.is_everything:
        while overdue().exists() and not is_stopping() and _run(companion=Courier()).claimed:
            pass
        waiting = None
        while not is_stopping() and (first := deliveries_due().first()) and first != waiting:
            waiting = first
            _run(companion=Courier())
    else:
        for start in range(0, len(found), CHUNK):
            ids = [saga.id for saga in found[start : start + CHUNK]]
            due = overdue().filter(pk__in=ids)
            while due.exists() and not is_stopping() and _run(only=ids).claimed:
                pass
    if found:
        wake()  # For what is due later: whoever looks leaves a wake-up for it.
    return _came_to(found)


def _run(*, only: Sequence[UUID] | None = None, companion: Courier | None = None) -> Ran:
    with collected_seldom():
        return Runner(only=only, companion=companion).run()


def _came_to(found: Sequence[Found]) -> Summary:
    summary = Summary.of(found)
    still = set(_in_chunks(found, overdue()))
    failed = set(_in_chunks(found, Saga.objects.filter(status=SagaStatus.FAILED)))
    summary.skipped, summary.failed = len(still), len(failed)
    summary.recovered = summary.scanned - summary.skipped - summary.failed
    return summary


def _in_chunks(found: Sequence[Found], query: QuerySet[Saga]) -> Iterable[UUID]:
    """Return the ids of those found that the query selects too."""
    for start in range(0, len(found), CHUNK):
        ids = [saga.id for saga in found[start : start + CHUNK]]
        yield from query.filter(pk__in=ids).values_list("pk", flat=True)
