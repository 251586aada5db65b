"""A saga's rows: the saga and its steps, one statement whatever their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sagas.definitions import Element, SagaDefinition, Step
from sagas.engine import bulk
from sagas.engine.instances import like
from sagas.keys import new_saga_id, render_key, step_key
from sagas.models import Saga, SagaStep
from sagas.states import Direction, StepKind

SAGA_FIELDS = (
    "id",
    "kind",
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
    "failed_step",
    "error_class",
    "error",
    "error_fingerprint",
    "parent",
    "parent_step",
    "continues",
    "restarted_from",
    "correlation_id",
    "traceparent",
    "started_by",
)
TIMES = ("created_at", "updated_at")
"""What the database fills in and readers are shown."""
STEP_FIELDS = (
    "saga",
    "name",
    "stage",
    "kind",
    "status",
    "call",
    "waits_for",
    "waits_on",
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
    traceparent: str = "",
    continues: UUID | None = None,
) -> Saga:
    """Return a saga that is not stored yet."""
    saga_id = saga_id or new_saga_id()
    outline = definition.outline()
    pattern = _saga(definition.name, definition.version, len(outline.steps), next(iter(outline.steps)))
    return like(
        pattern,
        id=saga_id,
        key=key,
        input=input,
        correlation_id=correlation_id or str(saga_id),
        traceparent=traceparent,
        started_by=started_by,
        continues_id=continues,
    )


def new_step(saga: Saga, element: Element, stage: int) -> SagaStep:
    """Return a step that is not stored yet. Where a template makes its keys, that is done when it begins."""
    step = like(_step(element.name, element.kind, stage), saga_id=saga.pk)
    if not (isinstance(element, Step) and element.idempotency_key is not None):
        step.idempotency_key = step_key(saga.pk, element.name, Direction.FORWARD)
        step.undo_key = step_key(saga.pk, element.name, Direction.BACK)
    return step


@lru_cache(1000)
def _saga(definition: str, version: int, steps: int, first: str) -> Saga:
    """Return what is the same in every new saga of a definition."""
    return Saga(definition=definition, version=version, steps_total=steps, current_step=first)


@lru_cache(1000)
def _step(name: str, kind: StepKind, stage: int) -> SagaStep:
    """Return what a step is like in every new saga."""
    return SagaStep(name=name, stage=stage, kind=kind)


def business_key(definition: type[SagaDefinition], input: Mapping[str, Any]) -> str | None:
    """Return the key that a definition makes of an input. Raise `ValueError` where it cannot."""
    return None if definition.key is None else render_key(definition.key, input)


def store(sagas: Sequence[Saga], definition: type[SagaDefinition]) -> set[UUID]:
    """Store new sagas of one definition with their steps; return the ids of those that met no conflict.

    A saga conflicts with a stored one of the same id, or with a live one of the same definition and key.
    """
    using = Saga.objects.db
    outline = definition.outline()
    steps = [
        new_step(saga, element, outline.stage_of[name])
        for saga in sagas
        for name, element in outline.steps.items()
    ]
    stored = bulk.insert_new(
        using, bulk.Insert(sagas, SAGA_FIELDS), bulk.Insert(steps, STEP_FIELDS), times=TIMES
    )
    for saga in sagas:
        _adopt(saga, using, dict(zip(TIMES, stored.get(saga.pk, ()), strict=False)))
    return set(stored)


def _adopt(saga: Saga, using: str, times: Mapping[str, datetime]) -> None:
    """Make the instance a stored one; what the database has not told is read when asked for."""
    saga._state.adding = False
    saga._state.db = using
    saga.__dict__.pop("due_at", None)
    for name in TIMES:
        saga.__dict__.pop(name, None)
    saga.__dict__.update(times)
