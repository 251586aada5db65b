"""What a transaction on some sagas means for others, done after its commit.

A fact that was left for a saga makes it due; room that was freed goes to whoever waits for it; events that
were published are delivered. All of it is in the rows: an errand that is lost is found by `sweep`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.expressions import CombinedExpression

from sagas.clock import DatabaseTime
from sagas.definitions import registry
from sagas.engine import bulk, inbox, publications, remains
from sagas.engine.admission import Admission
from sagas.engine.bell import announce, news_of
from sagas.engine.facts import FactKind, fulfil
from sagas.engine.family import is_wanted_back, store_births, tell_recalled
from sagas.engine.locked import Locked, lock, lock_all, write
from sagas.engine.steering import hear_late_events, turn_back
from sagas.models import HistoryKind, Permit, Saga, SagaFact, SagaStep
from sagas.states import AT_WORK, SagaStatus
from sagas.wake import wake_on_commit

log = logging.getLogger("sagas.engine")

_IS_OVER = (SagaStatus.COMPENSATED, SagaStatus.ABANDONED)
"""Ended, and nothing is left of it that could turn back."""


@dataclass
class Errands:
    """Whom a transaction concerns besides the sagas it wrote."""

    told: set[UUID] = field(default_factory=set)
    """Sagas for which a fact was left."""
    freed: Counter[str] = field(default_factory=Counter)
    """How much room there is for those who wait on these names."""
    published: bool = False

    def and_those_of(self, other: Errands) -> Errands:
        """Return the errands of both."""
        return Errands(self.told | other.told, self.freed + other.freed, self.published or other.published)


def store(batch: Sequence[Locked], admission: Admission) -> Errands:
    """Write a batch and all that goes with it; return what is to be done after the commit."""
    born = store_births(batch)
    tell_recalled(batch)
    admission.close()
    met = inbox.greet(batch)
    if admission.stale:
        Permit.objects.filter(pk__in=[permit.pk for permit in admission.stale]).delete()
    told = publications.news_of(batch)
    told += [(event, locked.saga.pk) for locked in batch for event in locked.published]
    write(
        batch,
        bulk.Insert(admission.permits, ("name", "saga", "step")),
        bulk.Insert(admission.locks, ("name", "saga")),
        *publications.inserts(told),
    )
    admission.write_paces()
    if born or told:
        wake_on_commit(Saga.objects.db)
    return Errands(
        told={fact.saga_id for locked in batch for fact in locked.told} | met,
        freed=+admission.freed,
        published=any(locked.published for locked in batch),
    )


def run(errands: Errands) -> None:
    """Do what is to be done for other sagas."""
    told = set(errands.told)
    if errands.published:
        told |= inbox.deliver()
    nudge(told)
    make_room(errands.freed)


def run_pending() -> None:
    """Deliver the events that have arrived from outside."""
    nudge(inbox.deliver())


def nudge(sagas: Collection[UUID]) -> None:
    """Make these sagas due, as far as nobody holds them; take back completed ones that are called back.

    Those that have ended otherwise hear of what comes too late.
    """
    if not sagas:
        return
    with transaction.atomic(using=Saga.objects.db):
        rows = Saga.objects.select_for_update(no_key=True).filter(pk__in=list(sagas)).order_by("pk")
        found = list(rows.values_list("pk", "status", "held_by"))
        Saga.objects.filter(
            pk__in=[pk for pk, status, held_by in found if status in AT_WORK and held_by is None]
        ).update(due_at=DatabaseTime())
    if completed := [pk for pk, status, _held_by in found if status == SagaStatus.COMPLETED]:
        _take_back(completed)
    for pk, status, _held_by in found:
        if status in _IS_OVER:
            _tell_too_late(pk)
    wake_on_commit(Saga.objects.db)


def make_room(freed: Counter[str]) -> None:
    """Make due as many of those who wait on each name as there is room for, the longest waiting first."""
    if not freed:
        return
    waiting = SagaStep.objects.filter(due_at__gt=DatabaseTime(), saga__status__in=AT_WORK)
    wanted = [name for name, room in freed.items() if room > 0]
    if len(wanted) > 1:  # Most locks are wanted by one saga only.
        found = waiting.filter(waits_on__in=wanted).order_by()
        wanted = list(found.values_list("waits_on", flat=True).distinct())
    for name in wanted:
        queue = waiting.filter(waits_on=name).order_by("id")
        steps = dict(queue.values_list("pk", "saga_id")[: freed[name]])
        if not steps:
            continue
        with transaction.atomic(using=Saga.objects.db):
            rows = Saga.objects.select_for_update(no_key=True).filter(pk__in=set(steps.values()))
            list(rows.order_by("pk").values_list("pk"))
            SagaStep.objects.filter(pk__in=steps, waits_on=name).update(due_at=DatabaseTime())
        nudge(set(steps.values()))


def sweep() -> None:
    """Make due whom nobody has told of a fact that was left for them, or that there is room for them."""
    nudge(set(forgotten().values_list("pk", flat=True)[: inbox.MOST_AT_ONCE]))
    make_room(remains.clear())


def forgotten(before: DatabaseTime | CombinedExpression | None = None) -> QuerySet[Saga]:
    """Select the sagas that were told something, by default until now, and on which nobody has acted.

    Those that rest between steps, children that have ended and are called back by their parents, and those
    that had compensated when an event came.
    """
    told = SagaFact.objects.filter(applied_at=None, at__lte=before or DatabaseTime())
    called_back = told.filter(kind=FactKind.TURN_BACK).values("saga")
    return Saga.objects.filter(
        Q(status__in=AT_WORK, held_by=None, due_at__gt=DatabaseTime())
        | Q(status__in=(SagaStatus.COMPLETED, *_IS_OVER), parent__isnull=False, pk__in=called_back)
        | Q(status=SagaStatus.COMPENSATED, pk__in=told.filter(kind=FactKind.EVENT).values("saga")),
        pk__in=told.values("saga"),
    )


def _take_back(sagas: Sequence[UUID]) -> None:
    """Turn those of completed sagas back that their parents have called back."""
    try:
        with transaction.atomic(using=Saga.objects.db):
            batch = [locked for locked in lock_all(sagas) if is_wanted_back(locked) and _is_undoable(locked)]
            for locked in batch:
                turn_back(locked)
                locked.saga.due_at = locked.now
            write(batch)
    except IntegrityError:
        if len(sagas) > 1:
            for saga in sagas:
                _take_back([saga])
        else:
            log.warning("Saga %s is not undone yet: another live saga has its business key.", sagas[0])


def _is_undoable(locked: Locked) -> bool:
    # Of a definition that this code does not know, other code has to hear.
    return locked.saga.definition in registry and locked.definition.undo_after_completion


def _tell_too_late(saga_id: UUID) -> None:
    """Have a saga that has ended heed what has come since: it has turned back, or need not any more."""
    with transaction.atomic(using=Saga.objects.db):
        # Of a definition that this code does not know, other code has to hear.
        ours = Saga.objects.filter(pk=saga_id, definition__in=list(registry))
        for locked in lock(ours.select_for_update(no_key=True)):
            fulfil(locked, FactKind.TURN_BACK)
            if locked.saga.status == SagaStatus.COMPENSATED and hear_late_events(locked):
                locked.record(kind=HistoryKind.EVIDENCE, data={"attention": locked.saga.attention})
            write([locked])
            announce(news_of([locked]))
