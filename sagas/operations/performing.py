"""Does what a person or program asks of a saga, or refuses it; records either."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from sagas.canonical import clean_text
from sagas.definitions import registry
from sagas.engine.admission import Admission
from sagas.engine.bell import announce, news_of
from sagas.engine.errands import run, store
from sagas.engine.holds import Holds
from sagas.engine.locked import Locked, lock_one, look_at
from sagas.engine.upgrades import upgrade_at_rest
from sagas.exceptions import OperationRefused
from sagas.models import HistoryEntry, HistoryKind, Saga
from sagas.operations.actors import Actor, By
from sagas.operations.catalogue import OPERATIONS, operation_on
from sagas.operations.operation import Operation, Refusal, Refused, Request
from sagas.wake import wake_on_commit


def perform(
    saga_id: UUID,
    operation: str,
    *,
    by: By,
    reason: str = "",
    expected_revision: int | None = None,
    **arguments: Any,
) -> HistoryEntry:
    """Carry out an operation and return its record; a worker does what follows from it.

    `expected_revision` is the revision of the saga that the actor looked at: if it has changed since, the
    operation is refused. `arguments` are what the operation takes. Raises `OperationRefused`, after its
    record was committed, and `Saga.DoesNotExist`. Call it outside of a transaction that the refusal would
    roll back.
    """
    wanted = OPERATIONS[operation]
    request = Request(wanted.name, Actor.of(by), clean_text(reason), arguments)
    with transaction.atomic(using=Saga.objects.db):
        locked = lock_one(saga_id)
        upgrade_at_rest(locked)
        wanted = operation_on(locked, operation)
        refusal = refusal_of(wanted, locked, request, expected_revision) or _carry_out(
            wanted, locked, request
        )
        if refusal is None:
            return locked.saga.history.filter(kind=HistoryKind.ACT).latest("id")
        entry = HistoryEntry.objects.create(
            saga=locked.saga,
            kind=HistoryKind.REFUSAL,
            at=locked.now,
            data={"code": refusal.code},
            **request.who_and_why,
        )
    raise OperationRefused(
        f"{wanted.label} was refused for {locked.saga}: {refusal.why}", code=refusal.code, entry=entry
    )


def _carry_out(operation: Operation, locked: Locked, request: Request) -> Refusal | None:
    try:
        with transaction.atomic(using=Saga.objects.db):
            admission = Admission(Holds.in_force())
            may_end = locked.saga.is_live and locked.saga.definition in registry
            if may_end:
                admission.prepare([locked])
            operation.perform(locked, request)
            if may_end and not locked.saga.is_live:
                admission.end(locked)
            errands = store([locked], admission)
    except Refused as refused:
        return refused.refusal
    announce(news_of([locked]))
    transaction.on_commit(partial(run, errands), using=Saga.objects.db)
    wake_on_commit(Saga.objects.db)
    return None


def cancel_saga(saga_id: UUID, *, by: By = None, reason: str = "") -> HistoryEntry:
    """Ask that a saga be turned back, as a customer or a participant may; return the record of it.

    The step that runs finishes and is then undone. Raises `OperationRefused` past the pivot, and
    `Saga.DoesNotExist`.
    """
    return perform(saga_id, "compensate", by=by, reason=reason)


def refusal_of(
    operation: Operation, locked: Locked, request: Request, expected_revision: int | None = None
) -> Refusal | None:
    """Say why this request is refused; None if it is not."""
    permission = operation.permission_for(locked)
    if not request.actor.may(permission, locked.saga):
        return Refusal(
            "permission_denied",
            _("%(name)s lacks the permission %(permission)s.")
            % {"name": request.actor.name, "permission": permission},
        )
    if expected_revision is not None and expected_revision != locked.saga.revision:
        return Refusal(
            "stale_revision",
            _(
                "it has changed since you looked (revision %(expected_revision)s, now "
                "%(revision)s). Look again."
            )
            % {"expected_revision": expected_revision, "revision": locked.saga.revision},
        )
    return argument_refusal(operation, request) or operation.refusal(locked, request)


def argument_refusal(operation: Operation, request: Request) -> Refusal | None:
    """Say why it is not asked with these arguments, whatever the saga."""
    takes = ", ".join(operation.arguments) or "none"
    if unknown := sorted(set(request.arguments) - set(operation.arguments)):
        return Refusal(
            "invalid_argument",
            _("it takes no argument %(names)s, but %(takes)s.")
            % {"names": ", ".join(unknown), "takes": takes},
        )
    if missing := [name for name in operation.arguments[: operation.needs] if name not in request.arguments]:
        return Refusal("invalid_argument", _("it needs %(names)s.") % {"names": ", ".join(missing)})
    return None


def availability(saga_id: UUID, *, by: By) -> dict[str, Refusal | None]:
    """Say for each operation why the actor could not have it done now, or None where it could be.

    Whether the arguments it takes would be right is not said. Raises `Saga.DoesNotExist`.
    """
    locked = look_at(saga_id)
    upgrade_at_rest(locked, in_memory=True)
    return {name: why_not(locked, name, by=by) for name in OPERATIONS}


def why_not(locked: Locked, operation: str, *, by: By) -> Refusal | None:
    """Say why the actor could not have an operation done to this saga, whatever the arguments."""
    wanted = operation_on(locked, operation)
    request = Request(wanted.name, Actor.of(by))
    permission = wanted.permission_for(locked)
    if not request.actor.may(permission, locked.saga):
        return Refusal(
            "permission_denied",
            _("%(name)s lacks the permission %(permission)s.")
            % {"name": request.actor.name, "permission": permission},
        )
    return wanted.refusal(locked, request)
