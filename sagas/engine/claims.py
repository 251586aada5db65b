"""Takes due sagas for a worker, and marks the attempts it will make.

A claim raises the fence, so that whatever an earlier holder still wants to write is void. A saga that is
due and still held was left by a worker that died: its attempts in flight are counted as lost.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import NamedTuple, TypeAlias
from uuid import UUID

from django.db.models import Exists, F, Q, QuerySet

from sagas.canonical import clean_text
from sagas.clock import DatabaseTime
from sagas.definitions import registry
from sagas.engine import inbox
from sagas.engine.admission import Admission
from sagas.engine.attempts import Attempt, Held
from sagas.engine.bell import News, announce, news_of
from sagas.engine.border import Border
from sagas.engine.errands import Errands, run, store
from sagas.engine.holds import Holds
from sagas.engine.locked import Locked, lock_again
from sagas.engine.processes import worker_name
from sagas.engine.queries import Among, fetch_among
from sagas.engine.slots import Reservation, Slots
from sagas.engine.steering import advance
from sagas.engine.takeover import company, lose
from sagas.engine.transactions import durably, is_transient
from sagas.models import HistoryKind, Saga, Worker
from sagas.states import AT_WORK

log = logging.getLogger("sagas.engine")

Code: TypeAlias = tuple[tuple[str, int], ...]
"""The definitions that this code knows, and the version of each."""


@dataclass
class Claimed:
    """What one claim took."""

    attempts: list[Attempt] = field(default_factory=list)
    moved: int = 0
    """Sagas that were taken or, needing no call, went on without one."""
    full: bool = False
    """As many sagas were due as were asked for: there may be more."""
    lacking: frozenset[bool] = frozenset()
    """Some were left because slots of these kinds were not free: whether for calls on the loop."""
    apart: bool = False
    """Sagas that lost their worker were taken, or are due: claim no others until the hand is empty."""
    news: list[News] = field(default_factory=list)
    """What the project is told of it."""
    errands: Errands = field(default_factory=Errands)
    """What it means for other sagas."""


class Sight(NamedTuple):
    """What there is to do for a worker."""

    is_due: bool = True
    """Sagas are due."""
    has_come: bool = True
    """Events have arrived from outside."""


def look(worker: UUID, only: Sequence[UUID] | None = None) -> Sight:
    """See whether there is anything to do: one statement, for mostly there is not.

    It goes by the worker's own row; without one it finds that there may be. Its text is the same for all.
    """
    among = None if only is None else tuple(only)
    seen = fetch_among(_in_sight, [worker], _code(), among, alias=Saga.objects.db)
    return Sight(*seen[0]) if seen else Sight()


def _in_sight(
    workers: Sequence[UUID], code: Code, only: tuple[UUID, ...] | None
) -> QuerySet[Worker, tuple[bool, bool]]:
    due = _due(code, only).order_by()
    ours = Worker.objects.filter(Among(F("pk"), workers))
    return ours.values_list(Exists(due), Exists(inbox.arrived()))


def claim(
    worker: UUID,
    slots: Slots,
    *,
    limit: int,
    lease: timedelta,
    alone: bool = True,
    only: Sequence[UUID] | None = None,
    holds: Holds | None = None,
) -> Claimed:
    """Claim up to `limit` due sagas and mark their first attempts as sent.

    `alone` says that the worker holds nothing, so that sagas under suspicion of killing it may be claimed.
    `only` restricts the claim to these sagas.
    """
    holds = Holds.in_force() if holds is None else holds
    among = None if only is None else tuple(only)
    try:
        return _claim_batch(worker, slots, limit, lease, alone, among, holds)
    except Exception as error:
        if is_transient(error) or (among is not None and len(among) == 1):
            raise
        log.exception("A batch of sagas could not be claimed; they are claimed one by one.")
    claimed = Claimed()
    for saga_id in list(_due(_code(), among).values_list("pk", flat=True)[:limit]):
        try:
            one = _claim_batch(worker, slots, 1, lease, alone and not claimed.attempts, (saga_id,), holds)
        except Exception as error:
            if not is_transient(error):
                _put_off(saga_id, error, lease)
            elif claimed.attempts:
                return claimed  # Those are marked as sent, and have to be.
            else:
                raise
        else:
            claimed.attempts += one.attempts
            claimed.moved += one.moved
            claimed.apart = claimed.apart or one.apart
    return claimed


def known() -> Q:
    """Select the sagas this code can run: of a registered definition, no newer than the code's version."""
    return _of(_code())


def _code() -> Code:
    return tuple((definition.name, definition.version) for definition in registry.values())


def _of(code: Code) -> Q:
    by_version: dict[int, list[str]] = {}
    for name, version in code:
        by_version.setdefault(version, []).append(name)
    query = Q(pk__in=[])
    for version, names in by_version.items():
        query |= Q(definition__in=names, version__lte=version)
    return query


def _due(code: Code, only: tuple[UUID, ...] | None) -> QuerySet[Saga]:
    due = Saga.objects.filter(_of(code), status__in=AT_WORK, due_at__lte=DatabaseTime()).order_by("due_at")
    return due if only is None else due.filter(pk__in=only)


def _for_us(code: Code, only: tuple[UUID, ...] | None, limit: int) -> QuerySet[Saga]:
    return _due(code, only).select_for_update(skip_locked=True, no_key=True)[:limit]


def _put_off(saga_id: UUID, error: Exception, lease: timedelta) -> None:
    """Leave a saga that cannot be claimed for a while, with what is wrong, so that the others are."""
    log.error("Saga %s cannot be claimed; it is left for %s.", saga_id, lease, exc_info=error)
    Saga.objects.filter(pk=saga_id, due_at__lte=DatabaseTime()).update(
        due_at=DatabaseTime() + lease,
        error_class=type(error).__name__,
        error=clean_text(f"The saga cannot be claimed: {error}"),
    )


def _claim_batch(
    worker: UUID,
    slots: Slots,
    limit: int,
    lease: timedelta,
    alone: bool,
    only: tuple[UUID, ...] | None,
    holds: Holds,
) -> Claimed:
    began = monotonic()
    with Reservation(slots) as reservation:
        claimed = durably(
            lambda: _claim(worker, reservation.anew(), limit, lease, alone, only, holds, began),
            happened=lambda claimed: _is_ours(worker, claimed),
        )
    announce(claimed.news)
    run(claimed.errands)
    return claimed


def _claim(
    worker: UUID,
    slots: Reservation,
    limit: int,
    lease: timedelta,
    alone: bool,
    only: tuple[UUID, ...] | None,
    holds: Holds,
    began: float,
) -> Claimed:
    found = lock_again(_for_us, _code(), only, limit, by=worker_name(worker))
    batch, apart = company(found, alone=alone)
    claimed = Claimed(full=len(found) >= limit, apart=apart)
    border = Border(slots, Admission(holds), lease)
    hands = [_take(locked, worker, lease, began) for locked in batch]
    border.prepare(batch)
    taken = []
    for locked, held in zip(batch, hands, strict=True):
        attempts = advance(locked, held, border)
        claimed.attempts += attempts
        saga = locked.saga
        if not attempts and saga.due_at is not None and saga.due_at <= locked.now:
            claimed.lacking = frozenset(slots.lacking)  # It stays as it is, for whoever has a slot.
        else:
            taken.append(locked)
    claimed.moved = len(taken)
    claimed.errands = store(taken, border.admission)
    claimed.news = news_of(taken)
    return claimed


def _take(locked: Locked, worker: UUID, lease: timedelta, began: float) -> Held:
    saga = locked.saga
    if saga.held_by is not None:
        locked.record(kind=HistoryKind.TAKE_OVER, data={"from": str(saga.held_by), "fence": saga.fence})
        for name, step in locked.steps.items():
            if step.in_flight:
                lose(locked, locked.step(name))
    saga.fence += 1
    saga.held_by = worker
    return Held(
        id=saga.pk,
        definition=saga.definition,
        key=saga.key,
        fence=saga.fence,
        input=saga.input,
        traceparent=saga.traceparent,
        results={name: step.result for name, step in locked.steps.items() if step.result is not None},
        lease_ends=began + lease.total_seconds(),
    )


def _is_ours(worker: UUID, claimed: Claimed) -> bool:
    """After a COMMIT without an answer: the fence says whether the claim was written."""
    fences = {attempt.held.id: attempt.held.fence for attempt in claimed.attempts}
    rows = Saga.objects.select_for_update(no_key=True).filter(pk__in=fences, held_by=worker).order_by("pk")
    stored = dict(rows.values_list("pk", "fence"))
    return bool(fences) and any(stored.get(pk) == fence for pk, fence in fences.items())
