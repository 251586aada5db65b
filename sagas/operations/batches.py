"""What is asked of batches: that workers carry them out, wait, or leave the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.db.models import Count, Q

from sagas.canonical import clean_text
from sagas.clock import DatabaseTime, database_now, utc
from sagas.conf import saga_settings
from sagas.engine import mutexes
from sagas.exceptions import BatchRefused
from sagas.models import BatchStatus, ItemState, SagaBatch
from sagas.operations.actors import Actor, By
from sagas.operations.catalogue import OPERATIONS
from sagas.operations.drafting import require_permission, user_key
from sagas.states import SagaStatus
from sagas.wake import wake_for_batch

STOPPED = "The batch was stopped before it was asked."


@dataclass(frozen=True)
class Outcome:
    """What became of the sagas of which a batch asked its operation."""

    healed: int
    """They have come to a good end since."""
    failed_again: int
    """They need a person again."""


def outcome(batch: SagaBatch) -> Outcome:
    """Look at how the sagas stand now. One statement."""
    good = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED)
    counted = batch.items.filter(state=ItemState.REQUESTED).aggregate(
        healed=Count("pk", filter=Q(saga__status__in=good)),
        failed_again=Count("pk", filter=Q(saga__status=SagaStatus.FAILED)),
    )
    return Outcome(**counted)


def start(batch_id: int, *, by: By, reason: str | None = None) -> SagaBatch:
    """Have workers carry a batch out, or go on with it, in the name of whoever starts it.

    A `reason` takes the place of the one it was drafted with. What runs already is left running. Raises
    `BatchRefused`, `PermissionRefused`, `SagaBatch.DoesNotExist`.
    """
    return _change(batch_id, "start", by, already=BatchStatus.RUNNING, change=partial(_start, reason))


def resume(batch_id: int, *, by: By) -> SagaBatch:
    """Go on with a batch that was suspended. Raises as `start`, for a draft too: nobody has suspended it."""
    return _change(batch_id, "resume", by, already=BatchStatus.RUNNING, change=partial(_start, None))


def suspend(batch_id: int, *, by: By) -> SagaBatch:
    """Leave the rest of a batch until it is started again. Raises as `start`."""
    return _change(batch_id, "suspend", by, already=BatchStatus.SUSPENDED, change=_suspend)


def stop(batch_id: int, *, by: By) -> SagaBatch:
    """Leave the rest of a batch for good: it is skipped. Raises as `start`."""
    return _change(batch_id, "stop", by, already=BatchStatus.CANCELLED, change=_stop)


_FROM = {
    "start": (BatchStatus.DRAFT, BatchStatus.SUSPENDED),
    "resume": (BatchStatus.SUSPENDED,),
    "suspend": (BatchStatus.RUNNING,),
    "stop": (BatchStatus.DRAFT, BatchStatus.RUNNING, BatchStatus.SUSPENDED),
}


def _change(
    batch_id: int, act: str, by: By, *, already: BatchStatus, change: Callable[[SagaBatch, Actor], None]
) -> SagaBatch:
    actor = Actor.of(by)
    with transaction.atomic(using=SagaBatch.objects.db):
        batch = SagaBatch.objects.select_for_update(no_key=True).get(pk=batch_id)
        require_permission(OPERATIONS[batch.operation], actor)
        if batch.status == already:
            return batch
        if batch.status not in _FROM[act]:
            advice = "Start it, or stop it." if batch.status == BatchStatus.DRAFT else "Draft another one."
            raise BatchRefused(
                f"The {batch} cannot {act}: it is {batch.status}. {advice}", code="invalid_state"
            )
        change(batch, actor)
        at = utc(database_now(SagaBatch.objects.db))
        batch.log = [*batch.log, {"act": act, "by": actor.name, "at": at}]
        batch.save()
    return batch


def _start(reason: str | None, batch: SagaBatch, actor: Actor) -> None:
    _refuse_beside_another(batch)
    batch.reason = batch.reason if reason is None else clean_text(reason)
    batch.actor_kind, batch.actor, batch.user_key = actor.kind, actor.name, user_key(actor)
    now = database_now(SagaBatch.objects.db)
    batch.start(now=now)
    if not batch.left:
        batch.finish(now=now)
        return
    batch.leased_until = now + saga_settings().lease
    transaction.on_commit(
        partial(wake_for_batch, batch.pk, batch.turn), using=SagaBatch.objects.db, robust=True
    )


def _refuse_beside_another(batch: SagaBatch) -> None:
    """Let one batch at a time ask an operation of a definition's sagas: two would double its rate."""
    mutexes.take(SagaBatch.objects.db, [f"batch:{batch.operation}:{name}" for name in batch.definitions])
    if refusal := beside_another(batch):
        raise refusal


def beside_another(batch: SagaBatch) -> BatchRefused | None:
    """Return why a batch cannot be started while another runs; None if none is in its way."""
    running = SagaBatch.objects.filter(status=BatchStatus.RUNNING, operation=batch.operation)
    for other in running.exclude(pk=batch.pk):
        if both := sorted(other.definitions & batch.definitions):
            return BatchRefused(
                f"The {batch.operation} batch was not started: batch {other.pk} does the same with "
                f"{', '.join(both)}. Wait until it is done, or stop it.",
                code="batch_running",
            )
    return None


def _suspend(batch: SagaBatch, actor: Actor) -> None:
    batch.suspend()


def _stop(batch: SagaBatch, actor: Actor) -> None:
    rest = batch.items.filter(state=ItemState.PENDING)
    batch.skipped += rest.update(state=ItemState.SKIPPED, message=STOPPED, at=DatabaseTime())
    batch.cancel(now=database_now(SagaBatch.objects.db))
