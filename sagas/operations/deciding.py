"""Somebody's decision about a saga that waits for an approval."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from sagas.canonical import clean_text
from sagas.definitions import Approval, registry
from sagas.engine.errands import nudge
from sagas.engine.facts import FactKind
from sagas.engine.locked import Locked, lock_one
from sagas.exceptions import OperationRefused
from sagas.models import HistoryEntry, HistoryKind, Saga, SagaFact, SagaStep
from sagas.operations.actors import Actor, By
from sagas.operations.catalogue import Refusal
from sagas.states import StepStatus


def approve(saga_id: UUID, *, by: By, reason: str = "", step: str | None = None) -> HistoryEntry:
    """Approve what a saga waits for; return the record of it. `step` is needed where several wait.

    Raises `OperationRefused`, after its record was committed, and `Saga.DoesNotExist`.
    """
    return _decide(saga_id, by, reason, step, approved=True)


def reject(saga_id: UUID, *, by: By, reason: str = "", step: str | None = None) -> HistoryEntry:
    """Reject what a saga waits for, so that it turns back. Raises as `approve` does."""
    return _decide(saga_id, by, reason, step, approved=False)


def _decide(saga_id: UUID, by: By, reason: str, name: str | None, *, approved: bool) -> HistoryEntry:
    actor = Actor.of(by)
    operation = "approve" if approved else "reject"
    reason = clean_text(reason)
    with transaction.atomic(using=Saga.objects.db):
        locked = lock_one(saga_id)
        waiting = _waiting(locked, name)
        refusal = _refusal(locked, waiting, actor)
        entry = HistoryEntry.objects.create(
            saga=locked.saga,
            kind=HistoryKind.REFUSAL if refusal else HistoryKind.ACT,
            at=locked.now,
            actor_kind=actor.kind,
            actor=actor.name,
            operation=operation,
            reason=reason,
            step=waiting[0].name if len(waiting) == 1 else "",
            data={"code": refusal.code} if refusal else {},
        )
        if refusal is None:
            SagaFact.objects.get_or_create(
                saga=locked.saga,
                kind=FactKind.APPROVAL,
                source=waiting[0].name,
                defaults={
                    "by": actor.name,
                    "data": {"step": waiting[0].name, "approved": approved, "reason": reason},
                },
            )
    if refusal is not None:
        raise OperationRefused(
            f"{operation.title()} was refused for {locked.saga}: {refusal.why}",
            code=refusal.code,
            entry=entry,
        )
    nudge([saga_id])
    return entry


def _waiting(locked: Locked, name: str | None) -> list[SagaStep]:
    return [
        step
        for step in locked.steps.values()
        if step.status == StepStatus.WAITING
        and step.waits_for == "approval"
        and (name is None or step.name == name)
    ]


def _refusal(locked: Locked, waiting: list[SagaStep], actor: Actor) -> Refusal | None:
    saga = locked.saga
    if len(waiting) != 1 or saga.definition not in registry:
        return Refusal("invalid_state", f"it is {saga.status} and waits for no approval.")
    element = locked.outline.steps[waiting[0].name]
    assert isinstance(element, Approval)
    if not actor.may(element.permission, saga):
        return Refusal("permission_denied", f"{actor.name} lacks the permission {element.permission}.")
    if element.not_by_initiator and actor.name and actor.name == saga.started_by:
        return Refusal("own_saga", f"{actor.name} started it, and somebody else has to decide.")
    return None
