"""A saga's rows: the saga and its steps, two statements whatever their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sagas.definitions import SagaDefinition
from sagas.engine import bulk
from sagas.keys import new_saga_id, step_key
from sagas.models import Saga, SagaStep
from sagas.states import Direction

SAGA_FIELDS = (
    "id",
    "definition",
    "version",
    "key",
    "status",
    "direction",
    "attention",
    "input",
    "fence",
    "revision",
    "steps_done",
    "steps_total",
    "current_step",
    "error_class",
    "error",
    "error_fingerprint",
    "correlation_id",
    "started_by",
)
STEP_FIELDS = (
    "saga",
    "name",
    "stage",
    "status",
    "waits_for",
    "in_doubt",
    "attempts",
    "crashes",
    "undo_attempts",
    "undo_crashes",
    "round_base",
    "idempotency_key",
    "undo_key",
    "error_class",
    "error",
)


def new_saga(
    definition: type[SagaDefinition],
    *,
    input: dict[str, Any],
    key: str | None,
    saga_id: UUID | None = None,
    started_by: str = "",
    correlation_id: str | None = None,
) -> Saga:
    """Return a saga that is not stored yet."""
    saga_id = saga_id or new_saga_id()
    outline = definition.outline()
    return Saga(
        id=saga_id,
        definition=definition.name,
        version=definition.version,
        key=key,
        input=input,
        steps_total=len(outline.steps),
        current_step=next(iter(outline.steps)),
        correlation_id=correlation_id or str(saga_id),
        started_by=started_by,
    )


def store(sagas: Sequence[Saga], definition: type[SagaDefinition]) -> set[UUID]:
    """Store new sagas of one definition with their steps; return the ids of those that met no conflict.

    A saga conflicts with a stored one of the same id, or with a live one of the same definition and key.
    """
    using = Saga.objects.db
    stored = bulk.insert_new(using, sagas, SAGA_FIELDS)
    stage_of = definition.outline().stage_of
    steps = [
        SagaStep(
            saga_id=saga.pk,
            name=name,
            stage=stage,
            idempotency_key=step_key(saga.pk, name, Direction.FORWARD),
            undo_key=step_key(saga.pk, name, Direction.BACK),
        )
        for saga in sagas
        if saga.pk in stored
        for name, stage in stage_of.items()
    ]
    bulk.write(using, bulk.Insert(steps, STEP_FIELDS))
    for saga in sagas:
        _adopt(saga, using)
    return stored


def _adopt(saga: Saga, using: str) -> None:
    """Make the instance a stored one; what the database filled in is read when asked for."""
    saga._state.adding = False
    saga._state.db = using
    for name in ("due_at", "created_at", "updated_at"):
        saga.__dict__.pop(name, None)
