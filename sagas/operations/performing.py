"""Does what a person or program asks of a saga, or refuses it; records either."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.db import transaction

from sagas.canonical import clean_text
from sagas.engine.admission import Admission
from sagas.engine.bell import announce, news_of
from sagas.engine.errands import run, store
from sagas.engine.holds import Holds
from sagas.engine.locked import Locked, lock_one, look_at
from sagas.exceptions import OperationRefused
from sagas.models import HistoryEntry, HistoryKind, Saga
from sagas.operations.actors import Actor, By
from sagas.operations.catalogue import OPERATIONS, Operation, Refusal
from sagas.wake import wake_on_commit


def perform(
    saga_id: UUID, operation: str, *, by: By, reason: str = "", expected_revision: int | None = None
) -> HistoryEntry:
    """Carry out an operation and return its record; a worker does what follows from it.

    `expected_revision` is the revision of the saga that the actor looked at: if it has changed since, the
    operation is refused. Raises `OperationRefused`, after its record was committed, and
    `Saga.DoesNotExist`. Call it outside of a transaction that the refusal would roll back.
    """
    wanted = OPERATIONS[operation]
    actor = Actor.of(by)
    with transaction.atomic(using=Saga.objects.db):
        locked = lock_one(saga_id)
        act = {
            "actor_kind": actor.kind,
            "actor": actor.name,
            "operation": wanted.name,
            "reason": clean_text(reason),
        }
        refusal = _refusal(wanted, locked, actor, expected_revision)
        if refusal is None:
            wanted.act(locked, {"kind": HistoryKind.ACT, **act})
            errands = store([locked], Admission(Holds.in_force()))
            announce(news_of([locked]))
            transaction.on_commit(partial(run, errands), using=Saga.objects.db)
            wake_on_commit(Saga.objects.db)
            return locked.saga.history.filter(kind=HistoryKind.ACT).latest("id")
        entry = HistoryEntry.objects.create(
            saga=locked.saga, kind=HistoryKind.REFUSAL, at=locked.now, data={"code": refusal.code}, **act
        )
    raise OperationRefused(
        f"{wanted.label} was refused for {locked.saga}: {refusal.why}", code=refusal.code, entry=entry
    )


def cancel_saga(saga_id: UUID, *, by: By = None, reason: str = "") -> HistoryEntry:
    """Ask that a saga be turned back, as a customer or a participant may; return the record of it.

    The step that runs finishes and is then undone. Raises `OperationRefused` past the pivot, and
    `Saga.DoesNotExist`.
    """
    return perform(saga_id, "compensate", by=by, reason=reason)


def _refusal(
    operation: Operation, locked: Locked, actor: Actor, expected_revision: int | None
) -> Refusal | None:
    if not actor.may(operation.permission, locked.saga):
        return Refusal("permission_denied", f"{actor.name} lacks the permission {operation.permission}.")
    if expected_revision is not None and expected_revision != locked.saga.revision:
        return Refusal(
            "stale_revision",
            f"it has changed since you looked (revision {expected_revision}, now {locked.saga.revision}). "
            "Look again.",
        )
    return operation.refusal(locked)


def availability(saga_id: UUID, *, by: By) -> dict[str, Refusal | None]:
    """Say for each operation why the actor could not have it done now, or None where it could be.

    Raises `Saga.DoesNotExist`.
    """
    actor = Actor.of(by)
    locked = look_at(saga_id)
    return {name: _refusal(operation, locked, actor, None) for name, operation in OPERATIONS.items()}
