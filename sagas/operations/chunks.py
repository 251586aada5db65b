"""Carries batches out, a chunk at a time, so that a worker's death costs a pause and no saga is asked twice.

An item is settled in the transaction of the act itself, under the lock of the batch's row: what the saga was
asked, what came of it and the counters commit together or not at all. A message names the turn it is for.
Whoever comes first takes the turn; later and doubled messages find another one and end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from time import monotonic, sleep

from django.contrib.auth import get_user_model

from sagas.clock import DatabaseTime
from sagas.conf import saga_settings
from sagas.engine.transactions import durably, is_transient
from sagas.exceptions import OperationRefused
from sagas.models import ActorKind, BatchStatus, ItemState, Saga, SagaBatch, SagaBatchItem
from sagas.operations.actors import By
from sagas.operations.drafting import CHANGED
from sagas.operations.performing import perform
from sagas.states import AT_WORK
from sagas.wake import wake_for_batch

log = logging.getLogger("sagas.batches")

CHUNK = 100
"""Items that a worker settles before it makes room for other work."""
LONGEST = timedelta(seconds=10)
"""How long a chunk may take, where the rate is low."""


def run(batch_id: int, turn: int) -> int:
    """Settle a chunk of a batch if it is this turn, and ask for the next; return how many items that were."""
    if not _take(batch_id, turn):
        return 0
    turn += 1
    batch = SagaBatch.objects.get(pk=batch_id)
    # Loaded anew for each chunk: a permission that was taken away counts from the next one on.
    by = _in_whose_name(batch)
    settled = 0
    for item_id in _at_their_pace(batch):
        settle = partial(_settle, batch_id, turn, item_id, by)
        if not durably(settle, happened=partial(_is_settled, item_id)):
            return settled
        settled += 1
    _hand_over(batch_id, turn)
    return settled


def recover() -> None:
    """Find the batches whose worker is gone, or whose message was lost, and ask another to go on."""
    left = SagaBatch.objects.filter(status=BatchStatus.RUNNING, leased_until__lt=DatabaseTime())
    for batch_id, turn in left.order_by("id").values_list("pk", "turn"):
        wake_for_batch(batch_id, turn)


def _take(batch_id: int, turn: int) -> bool:
    mine = SagaBatch.objects.filter(pk=batch_id, turn=turn, status=BatchStatus.RUNNING)
    return bool(mine.update(turn=turn + 1, leased_until=DatabaseTime() + saga_settings().lease))


def _hand_over(batch_id: int, turn: int) -> None:
    """Ask for a worker to go on, unless the batch is done by now or somebody stopped it."""
    if SagaBatch.objects.filter(pk=batch_id, turn=turn, status=BatchStatus.RUNNING).exists():
        wake_for_batch(batch_id, turn)


def _at_their_pace(batch: SagaBatch) -> Iterator[int]:
    """Yield the items of a chunk, each when it is its time: so many a second, and none in a burst."""
    pending = batch.items.filter(state=ItemState.PENDING).order_by("id").values_list("pk", flat=True)
    began = monotonic()
    for number, item_id in enumerate(pending[:CHUNK]):
        due = number / batch.rate
        if due > LONGEST.total_seconds():
            return
        sleep(max(0.0, began + due - monotonic()))
        yield item_id


def _settle(batch_id: int, turn: int, item_id: int, by: By) -> bool:
    """Ask it of one saga and write down what came of it; say whether to go on."""
    found = SagaBatch.objects.select_for_update(no_key=True).annotate(now=DatabaseTime())
    batch = found.get(pk=batch_id)
    if batch.status != BatchStatus.RUNNING or batch.turn != turn:
        return False
    item = SagaBatchItem.objects.filter(pk=item_id, state=ItemState.PENDING).first()
    if item is None:
        return True
    item.state, item.message = _ask(batch, item, by)
    item.at = batch.now
    item.save(update_fields=["state", "message", "at"])
    counter = item.state.value
    setattr(batch, counter, getattr(batch, counter) + 1)
    batch.leased_until = batch.now + saga_settings().lease
    if not batch.left:
        batch.finish(now=batch.now)
    batch.save(update_fields=[counter, "status", "leased_until", "ended_at"])
    return True


def _ask(batch: SagaBatch, item: SagaBatchItem, by: By) -> tuple[ItemState, str]:
    """Ask the operation of the saga, unless it stands no longer where it stood."""
    locked = Saga.objects.select_for_update(no_key=True).filter(pk=item.saga_id)
    stands = locked.values_list("status", "revision").first()
    if stands is None:
        return ItemState.SKIPPED, "The saga is no longer there."
    status, revision = stands
    if status != item.status:
        return ItemState.SKIPPED, f"It is {status} by now."
    if status not in AT_WORK and revision != item.revision:
        return ItemState.SKIPPED, CHANGED
    try:
        perform(item.saga_id, batch.operation, by=by, reason=batch.reason, **batch.arguments)
    except OperationRefused as refused:
        return ItemState.REFUSED, str(refused)
    except Exception as error:
        if is_transient(error):
            raise
        log.exception("Batch %s could not ask %s of saga %s.", batch.pk, batch.operation, item.saga_id)
        return ItemState.REFUSED, f"It could not be asked: {type(error).__name__}."
    return ItemState.REQUESTED, ""


def _is_settled(item_id: int, goes_on: bool) -> bool:
    """After a COMMIT without an answer: the item says whether it was carried out."""
    items = SagaBatchItem.objects.select_for_update(no_key=True).filter(pk=item_id)
    return items.values_list("state", flat=True).get() != ItemState.PENDING


def _in_whose_name(batch: SagaBatch) -> By:
    """Return who asks. Of a user who is gone is left one who may nothing."""
    if batch.actor_kind != ActorKind.USER:
        return batch.actor
    return get_user_model()._default_manager.filter(pk=batch.user_key).first() or _Nobody(batch.actor)


class _Nobody:
    """Who used to be a user."""

    def __init__(self, name: str) -> None:
        self._name = name

    def get_username(self) -> str:
        return self._name

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return False
