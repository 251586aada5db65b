"""Drafts batches: chooses the sagas, counts them exactly, and shows on a few what would be done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import Case, CharField, Count, Q, QuerySet, Value, When

from sagas.canonical import canonical, clean_text, gate
from sagas.clock import database_now
from sagas.conf import saga_settings
from sagas.engine import bulk
from sagas.exceptions import BatchRefused, IdempotencyKeyReused, PermissionRefused
from sagas.models import ActorKind, ItemState, SagaBatch, SagaBatchItem
from sagas.operations.actors import Actor, By
from sagas.operations.catalogue import OPERATIONS
from sagas.operations.operation import Operation, Request
from sagas.operations.performing import argument_refusal
from sagas.operations.previewing import Preview, preview
from sagas.operations.selection import Selection
from sagas.states import AT_WORK

SAMPLES = 3
CHANGED = "It has changed since it was chosen."


def draft(
    operation: str,
    selection: Selection,
    *,
    by: By,
    reason: str = "",
    arguments: Mapping[str, Any] | None = None,
    cutoff_at: datetime | None = None,
    rate: int | None = None,
    key: str | None = None,
) -> SagaBatch:
    """Write down which sagas an operation is to be asked of, and ask nothing yet; return the batch.

    Its items are the sagas as they stand now, and no other saga will ever be among them. Those of which it
    makes no sense to ask it are skipped from the outset. `cutoff_at` is when the actor looked at them: what
    has been started or has changed since is not chosen by a filter, and skipped where its id was named. The
    same `key` by the same actor gives the same batch. Raises `BatchRefused`, `PermissionRefused`,
    `NotStorable`, and `IdempotencyKeyReused` for another wish under the same key.
    """
    batch = wanted_batch(operation, selection, by=by, reason=reason, arguments=arguments, rate=rate, key=key)
    try:
        with transaction.atomic(using=SagaBatch.objects.db):
            return _store(batch, selection, cutoff_at)
    except IntegrityError:
        return _drafted_before(batch)


def wanted_batch(
    operation: str,
    selection: Selection,
    *,
    by: By,
    reason: str = "",
    arguments: Mapping[str, Any] | None = None,
    rate: int | None = None,
    key: str | None = None,
) -> SagaBatch:
    """Return what is wanted as a batch that is not stored. Raises as `draft`."""
    wanted = OPERATIONS[operation]
    actor = Actor.of(by)
    require_permission(wanted, actor)
    batch = SagaBatch(
        operation=operation,
        arguments=gate(dict(arguments or {}), f"What {operation} is asked with"),
        reason=clean_text(reason),
        actor_kind=actor.kind,
        actor=actor.name,
        user_key=user_key(actor),
        token=_token(actor, key),
        selection=gate(selection.as_json(), "The selection"),
        rate=rate or saga_settings().batch_rate,
    )
    if refusal := argument_refusal(wanted, Request(operation, actor, batch.reason, batch.arguments)):
        raise BatchRefused(f"{wanted.label} was not drafted: {refusal.why}", code=refusal.code)
    return batch


def samples(batch: SagaBatch, *, by: By) -> list[tuple[UUID, Preview]]:
    """Return what would be done to the first few sagas of a batch."""
    first = batch.items.filter(state=ItemState.PENDING).order_by("id").values_list("saga_id", flat=True)
    return previews(batch, first[:SAMPLES], by=by)


def previews(batch: SagaBatch, sagas: Iterable[UUID], *, by: By) -> list[tuple[UUID, Preview]]:
    """Return what would be done to each of these."""
    return [(pk, preview(pk, batch.operation, by=by, **batch.arguments)) for pk in sagas]


def require_permission(operation: Operation, actor: Actor) -> None:
    """Raise `PermissionRefused` unless the actor may ask for it, of some sagas at least."""
    if operation.permission_of is None and not actor.may(operation.permission):
        raise PermissionRefused(f"{actor.name} lacks the permission {operation.permission}.")


def user_key(actor: Actor) -> str:
    """Return by what a worker finds the user again. Raise `ValueError` for one who is not in the project."""
    if actor.kind != ActorKind.USER:
        return ""
    if not isinstance(actor.user, get_user_model()):
        raise ValueError(f"{actor.name} is no user that a worker could find again.")
    return str(actor.user.pk)


def chosen(batch: SagaBatch, selection: Selection, cutoff_at: datetime | None) -> QuerySet[Any]:
    """Return a batch's sagas, each with the `state` and `message` of its item, and set its cut-off."""
    now = database_now(SagaBatch.objects.db)
    batch.cutoff_at = min(cutoff_at or now, now)
    as_seen = Q(created_at__lte=batch.cutoff_at) & (
        Q(status__in=AT_WORK) | Q(updated_at__lte=batch.cutoff_at)
    )
    sagas = selection.sagas()
    if selection.filter:
        sagas = sagas.filter(as_seen)
    state = Case(
        When(as_seen & OPERATIONS[batch.operation].candidates(), then=Value(ItemState.PENDING.value)),
        default=Value(ItemState.SKIPPED.value),
        output_field=CharField(),
    )
    message = Case(When(~as_seen, then=Value(CHANGED)), default=Value(""), output_field=CharField())
    return sagas.annotate(state=state, message=message)


def count(batch: SagaBatch, rows: QuerySet[Any], of_saga: str = "") -> None:
    """Note how many rows of a batch there are of which kind. `of_saga` leads from a row to its saga."""
    kinds = (f"{of_saga}definition", f"{of_saga}current_step", "status", "state", "message")
    counted = rows.order_by().values_list(*kinds).annotate(number=Count("pk"))
    batch.groups = [
        {
            "definition": definition,
            "step": step,
            "status": status,
            "skipped": state == ItemState.SKIPPED,
            "message": message,
            "number": number,
        }
        for definition, step, status, state, message, number in counted.order_by("-number", *kinds)
    ]
    batch.skipped = sum(group["number"] for group in batch.groups if group["skipped"])


def nothing_selected() -> BatchRefused:
    """Return the refusal of a batch of no saga."""
    return BatchRefused("No batch was drafted: no saga is like that.", code="nothing_selected")


def _store(batch: SagaBatch, selection: Selection, cutoff_at: datetime | None) -> SagaBatch:
    sagas = chosen(batch, selection, cutoff_at)
    batch.save(force_insert=True)
    # One statement, and no row of it leaves the database.
    rows = sagas.annotate(batch=Value(batch.pk)).order_by("pk")
    fields = ("batch", "saga", "status", "revision", "state", "message")
    batch.total = bulk.insert_from(
        SagaBatchItem, fields, rows.values_list("batch", "id", "status", "revision", "state", "message")
    )
    if not batch.total:
        raise nothing_selected()
    count(batch, batch.items.all(), "saga__")
    batch.save(update_fields=["total", "skipped", "groups"])
    return batch


def _token(actor: Actor, key: str | None) -> str | None:
    if key is None:
        return None
    return hashlib.sha256("\x1f".join((actor.kind, actor.name, key)).encode()).hexdigest()


def _drafted_before(batch: SagaBatch) -> SagaBatch:
    """Return the batch that the same request drafted. Raise `IdempotencyKeyReused` if it was not the same."""
    earlier = SagaBatch.objects.get(token=batch.token)
    earlier.is_repeated = True
    same = ("operation", "arguments", "reason", "selection")
    if any(canonical(getattr(earlier, name)) != canonical(getattr(batch, name)) for name in same):
        raise IdempotencyKeyReused(
            f"The idempotency key was first used for {earlier}, which wants something else. "
            "Use a new key for a new request."
        )
    return earlier
