"""Where a step can stand, for the planner's tests: rows that were never stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sagas.models import SagaStep
from sagas.states import StepStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)
LATER = NOW + timedelta(minutes=10)
PAST = NOW - timedelta(seconds=1)


def stand(status: str, **fields: Any) -> SagaStep:
    """Return a step that stands so."""
    return SagaStep(status=status, **fields)


PENDING = stand("pending")
RUNNING = stand("running")
WAITING = stand("waiting", waits_for="retry", due_at=SOON)
DUE = stand("waiting", waits_for="retry", due_at=PAST)
COMPLETED = stand("completed")
FAILED = stand("failed")
UNKNOWN = stand("unknown", in_doubt=True)
MAY_STILL_LAND = stand("unknown", in_doubt=True, due_at=LATER)
"""Given up, while its call may still be on the wire."""
SKIPPED = stand("skipped")
UNDOING = stand("compensating")
UNDO_WAITING = stand("compensating", due_at=SOON)
UNDO_DUE = stand("compensating", due_at=PAST)
UNDONE = stand("compensated")
UNDO_FAILED = stand("compensation_failed")

ALL = (
    PENDING, RUNNING, WAITING, DUE, COMPLETED, FAILED, UNKNOWN, MAY_STILL_LAND, SKIPPED,
    UNDOING, UNDO_WAITING, UNDO_DUE, UNDONE, UNDO_FAILED,
)  # fmt: skip
assert {each.status for each in ALL} == set(StepStatus)
