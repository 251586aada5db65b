"""What people and programs asked for lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sagas.models import HistoryEntry, HistoryKind
from sagas.models.history import ACTS

MOST_ACTS = 10


@dataclass(frozen=True)
class Act:
    """An operation that was asked for, and done or refused."""

    at: datetime
    operation: str
    actor_kind: str
    actor: str
    reason: str
    was_refused: bool
    saga_id: UUID
    definition: str
    key: str | None


def last_acts(most: int = MOST_ACTS) -> tuple[Act, ...]:
    """Return the latest acts, the last one first."""
    latest = HistoryEntry.objects.filter(kind__in=ACTS).order_by("-id")[:most]
    return tuple(
        Act(
            entry.at,
            entry.operation,
            entry.actor_kind,
            entry.actor,
            entry.reason,
            entry.kind == HistoryKind.REFUSAL,
            entry.saga_id,
            entry.saga.definition,
            entry.saga.key,
        )
        for entry in latest.select_related("saga").defer("data", "saga__input")
    )
