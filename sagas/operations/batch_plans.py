"""What a batch would be, if it were started now: found out without writing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sagas.exceptions import BatchRefused
from sagas.models import ItemState, SagaBatch
from sagas.operations.actors import By
from sagas.operations.batches import beside_another
from sagas.operations.drafting import SAMPLES, chosen, count, nothing_selected, previews, wanted_batch
from sagas.operations.previewing import Preview
from sagas.operations.selection import Selection


@dataclass(frozen=True)
class BatchPlan:
    """A batch that was not stored, with what it would do to a few of its sagas."""

    batch: SagaBatch
    samples: list[tuple[UUID, Preview]]
    refusal: BatchRefused | None
    """Why it would not be started as things are."""


def plan(
    operation: str,
    selection: Selection,
    *,
    by: By,
    arguments: Mapping[str, Any] | None = None,
    cutoff_at: datetime | None = None,
    rate: int | None = None,
) -> BatchPlan:
    """Return what a batch would be. Raises as `draft`, but for what may be otherwise a moment later."""
    batch = wanted_batch(operation, selection, by=by, arguments=arguments, rate=rate)
    sagas = chosen(batch, selection, cutoff_at)
    count(batch, sagas)
    batch.total = sum(group["number"] for group in batch.groups)
    first = sagas.filter(state=ItemState.PENDING).order_by("pk").values_list("pk", flat=True)[:SAMPLES]
    refusal = beside_another(batch) if batch.total else nothing_selected()
    return BatchPlan(batch, previews(batch, first, by=by), refusal)
