"""Which sagas an operation may be asked of at all, as far as their rows tell; it has the last word itself."""

from __future__ import annotations

from django.db.models import Q

from sagas.clock import DatabaseTime
from sagas.definitions import registry
from sagas.operations.courses import STUCK_AFTER
from sagas.states import AT_REST, AT_WORK, LIVE, TERMINAL, Attention, Direction, SagaStatus


def to_retry() -> Q:
    """Those that failed, and those between two attempts."""
    between = Q(status__in=(SagaStatus.RUNNING, SagaStatus.COMPENSATING), held_by=None) & ~Q(error_class="")
    return Q(status=SagaStatus.FAILED) | between


def to_resume() -> Q:
    """Those that were suspended, and those that nobody moves."""
    return Q(status=SagaStatus.SUSPENDED) | Q(status__in=AT_WORK, due_at__lt=DatabaseTime() - STUCK_AFTER)


def to_compensate() -> Q:
    """Those that go forward or stand, completed ones that may be undone, and those with a late effect."""
    undoable = [name for name, definition in registry.items() if definition.undo_after_completion]
    forward = Q(status__in=LIVE, direction=Direction.FORWARD)
    late = Q(status=SagaStatus.COMPENSATED, attention=Attention.LATE_EFFECT)
    return forward | Q(status=SagaStatus.COMPLETED, definition__in=undoable) | late


def to_skip() -> Q:
    """Those that go forward, at work or at rest."""
    return Q(status__in=LIVE, direction=Direction.FORWARD)


def at_work() -> Q:
    """Those that workers move."""
    return Q(status__in=AT_WORK)


def at_rest() -> Q:
    """Those that wait for a person."""
    return Q(status__in=AT_REST)


def live() -> Q:
    """Those that have not ended."""
    return Q(status__in=LIVE)


def to_acknowledge() -> Q:
    """Those that need a person and do not stand still for it."""
    return ~Q(attention="") & ~Q(status=SagaStatus.FAILED)


def ended() -> Q:
    """Those that have."""
    return Q(status__in=TERMINAL)
