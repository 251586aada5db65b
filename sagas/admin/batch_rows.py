"""The batches that asked something of one saga, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.safestring import SafeString

from sagas.admin.badges import batch_badge
from sagas.admin.times import moment
from sagas.models import BatchStatus, ItemState, Saga
from sagas.operations.catalogue import OPERATIONS

MOST_BATCHES = 20


@dataclass(frozen=True)
class BatchRow:
    """A batch, as far as it was for this saga."""

    batch_id: int
    operation: str | Promise
    badge: SafeString
    state: str | Promise
    message: str
    at: Any
    who: str
    why: str


def batch_rows(saga: Saga) -> list[BatchRow]:
    """Return the latest batches that a saga is an item of, the newest first: one statement."""
    items = saga.batch_items.order_by("-id").values_list(
        "batch_id",
        "batch__operation",
        "batch__status",
        "state",
        "message",
        "at",
        "batch__actor",
        "batch__reason",
    )
    return [
        BatchRow(
            batch_id,
            OPERATIONS[operation].label if operation in OPERATIONS else operation,
            batch_badge(BatchStatus(status)),
            ItemState(state).label,
            message,
            moment(at),
            who,
            why,
        )
        for batch_id, operation, status, state, message, at, who, why in items[:MOST_BATCHES]
    ]
