"""Finds what is due and held by nobody, and whatever else waits for someone who is gone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from enum import Enum
from uuid import UUID

from django.db import transaction
from django.db.models import Case, CharField, Q, QuerySet, Value, When

from sagas.clock import DatabaseTime
from sagas.engine import errands, inbox
from sagas.engine.claims import known
from sagas.messaging import backlog
from sagas.models import InboxMessage, InboxStatus, Saga, Worker
from sagas.states import AT_WORK
from sagas.wake import wake


class Lost(Enum):
    """Why a saga does not move by itself."""

    LEASE = "lease"
    """Its worker let the lease run out."""
    DUE = "due"
    """It is due, and no worker has taken it."""
    FACT = "fact"
    """Something was asked of it that nobody acted on."""
    EVENT = "event"
    """The event it waits for is here."""


def overdue(older_than: timedelta = timedelta(0)) -> QuerySet[Saga]:
    """Select the sagas that should have moved more than `older_than` ago, the longest overdue first."""
    late = Saga.objects.filter(status__in=AT_WORK, due_at__lte=DatabaseTime() - older_than)
    return late.order_by("due_at")


def lost(older_than: timedelta = timedelta(0), classes: Collection[Lost] = tuple(Lost)) -> QuerySet[Saga]:
    """Select the sagas that should have moved more than `older_than` ago; each says as its `lost` why.

    `classes` are the reasons to look for. The longest due come first, then those that only ought to be due.
    """
    before = DatabaseTime() - older_than
    heard = list(inbox.missed(before))
    told = list(errands.forgotten(before).values_list("pk", flat=True))
    is_due = Q(status__in=AT_WORK, due_at__lte=before)
    why = Case(
        When(is_due & Q(held_by=None), then=Value(Lost.DUE.value)),
        When(is_due, then=Value(Lost.LEASE.value)),
        When(pk__in=heard, then=Value(Lost.EVENT.value)),
        default=Value(Lost.FACT.value),
        output_field=CharField(),
    )
    found = Saga.objects.filter(is_due | Q(pk__in=[*heard, *told])).annotate(lost=why)
    return found.filter(lost__in=[each.value for each in classes]).order_by("due_at", "pk")


def recover() -> None:
    """Make due what should be, and ask the workers to look if anything is. Twice at once does no harm."""
    errands.nudge(inbox.deliver_missed())
    errands.sweep()
    if overdue().filter(known()).exists() or backlog.has_work():
        wake(insist=True)


def give_back(workers: Iterable[UUID]) -> int:
    """Make due at once what these workers held, who are known to be dead; return how much that was.

    Whoever claims one finds it held, and counts its attempts in flight as lost.
    """
    dead = list(workers)
    with transaction.atomic(using=Saga.objects.db):
        left = Saga.objects.filter(held_by__in=dead, status__in=AT_WORK).update(due_at=DatabaseTime())
        events = InboxMessage.objects.filter(held_by__in=dead, status=InboxStatus.DUE)
        left += events.update(due_at=DatabaseTime())
        Worker.objects.filter(pk__in=dead).delete()
    if left:
        wake()
    return left
