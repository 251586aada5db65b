"""Finds what is due and held by nobody, and whatever else waits for someone who is gone."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

from django.db.models import QuerySet

from sagas.clock import DatabaseTime
from sagas.models import Saga
from sagas.states import AT_WORK


class Lost(Enum):
    """Why a saga does not move by itself."""

    LEASE = "lease"
    """Its worker let the lease run out."""
    DUE = "due"
    """It is due, and no worker has taken it."""
    FACT = "fact"
    """Something was asked of it that nobody acted on."""


def overdue(older_than: timedelta = timedelta(0)) -> QuerySet[Saga]:
    """Select the sagas that should have moved more than `older_than` ago, the longest overdue first."""
    late = Saga.objects.filter(status__in=AT_WORK, due_at__lte=DatabaseTime() - older_than)
    return late.order_by("due_at")


def why(saga: Saga) -> Lost:
    """Say what keeps an overdue saga."""
    return Lost.DUE if saga.held_by is None else Lost.LEASE
