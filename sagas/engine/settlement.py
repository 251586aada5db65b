"""Writes down what attempts came to, and marks the next ones, in groups.

What is written is planned on rows read under lock, never on what the runner remembers. A result counts only
if fence, step, direction and attempt are the row's; any other is kept as evidence and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TypeAlias
from uuid import UUID

from sagas.engine.admission import Admission
from sagas.engine.attempts import Attempt, Held, Overtaken, Settled
from sagas.engine.bell import News, announce, news_of
from sagas.engine.border import Border
from sagas.engine.errands import Errands, run, store
from sagas.engine.holds import Holds
from sagas.engine.locked import Locked, lock_all, write
from sagas.engine.outcomes import apply, fits, keep_as_evidence, refuse
from sagas.engine.processes import worker_name
from sagas.engine.slots import Reservation, Slots
from sagas.engine.steering import advance
from sagas.engine.transactions import durably, is_transient
from sagas.models import Saga, SagaStep

log = logging.getLogger("sagas.engine")

Group: TypeAlias = Mapping[UUID, Sequence[Settled]]
Written: TypeAlias = tuple[str, str, bool, int, int]
"""A step as written: name, status, in flight, attempts, undo attempts."""


@dataclass
class Settlement:
    """What a settlement led to."""

    attempts: list[Attempt] = field(default_factory=list)
    """The next calls, marked as sent."""
    let_go: set[UUID] = field(default_factory=set)
    """Sagas the runner no longer holds."""
    written: dict[UUID, list[Written]] = field(default_factory=dict)
    """Per saga the steps that changed."""
    news: list[News] = field(default_factory=list)
    """What the project is told of it."""
    errands: Errands = field(default_factory=Errands)
    """What it means for other sagas."""
    extended: list[tuple[Held, float]] = field(default_factory=list)
    """What the runner holds for longer now, and when that ends, by its monotonic clock."""

    def and_that(self, other: Settlement) -> Settlement:
        """Return what both came to, as far as it matters after their commits."""
        return Settlement(
            self.attempts + other.attempts,
            self.let_go | other.let_go,
            news=self.news + other.news,
            errands=self.errands.and_those_of(other.errands),
            extended=self.extended + other.extended,
        )

    def conclude(self) -> None:
        """Do what follows the commit."""
        for held, lease_ends in self.extended:
            held.lease_ends = lease_ends
        announce(self.news)
        run(self.errands)


@dataclass(frozen=True)
class Settling:
    """For whom a group is settled, and how."""

    worker: UUID
    slots: Slots
    lease: timedelta
    begin: bool
    holds: Holds

    def settle(self, group: Group) -> Settlement:
        """Settle the group in one transaction; if that cannot be, in halves down to the offender."""
        try:
            with Reservation(self.slots, _finished(group)) as reservation:
                return durably(lambda: self._settle(group, reservation.anew()), happened=is_written)
        except Exception as error:
            if is_transient(error):
                raise
            if len(group) == 1:
                with Reservation(self.slots, _finished(group)) as reservation:
                    halt = partial(self._halt_offender, group, error, reservation)
                    return durably(halt, happened=lambda _: True)
            sagas = list(group)
            middle = len(sagas) // 2
            first = self.settle({pk: group[pk] for pk in sagas[:middle]})
            return first.and_that(self.settle({pk: group[pk] for pk in sagas[middle:]}))

    def settle_strictly(self, group: Group, reservation: Reservation) -> Settlement:
        """Settle the group in the caller's transaction. Raise `Overtaken` if an outcome does not count."""
        return self._settle(group, reservation, strictly=True)

    def _settle(self, group: Group, reservation: Reservation, *, strictly: bool = False) -> Settlement:
        began = monotonic()
        result = Settlement()
        batch = lock_all(list(group), by=worker_name(self.worker))
        if strictly:
            self._check_all_count(batch, group)
        holders = [(locked, self._take_in(locked, group[locked.saga.pk])) for locked in batch]
        ours = [(locked, held) for locked, held in holders if held is not None]
        border = self._border(reservation)
        border.prepare([locked for locked, _ in ours])
        for locked, held in ours:
            due_at = locked.saga.due_at
            result.attempts += advance(locked, held, border)
            if locked.saga.due_at != due_at:
                result.extended.append((held, began + self.lease.total_seconds()))
            result.written[held.id] = [_written(step) for step in locked.touched.values()]
        for locked in batch:
            if locked.saga.held_by != self.worker:
                result.let_go.add(locked.saga.pk)
        result.let_go |= group.keys() - {locked.saga.pk for locked in batch}
        result.errands = store([locked for locked in batch if locked.changed], border.admission)
        result.news = news_of(batch)
        return result

    def _check_all_count(self, batch: Sequence[Locked], group: Group) -> None:
        attempts = [(locked, settled.attempt) for locked in batch for settled in group[locked.saga.pk]]
        if len(batch) < len(group) or not all(self._is_ours(*each) and fits(*each) for each in attempts):
            raise Overtaken("An attempt of the group was given up, or its saga is held by another worker.")

    def _take_in(self, locked: Locked, outcomes: Sequence[Settled]) -> Held | None:
        """Apply the outcomes that count; return the hand that holds the saga, if it is this worker's."""
        held = None
        for settled in outcomes:
            ours = self._is_ours(locked, settled.attempt)
            if ours and fits(locked, settled.attempt):
                apply(locked, settled)
            else:
                keep_as_evidence(locked, settled)
            held = settled.attempt.held if ours else held
        return held

    def _border(self, slots: Reservation, *, begin: bool | None = None) -> Border:
        admission = Admission(self.holds)
        return Border(slots, admission, self.lease, self.begin if begin is None else begin)

    def _halt_offender(self, group: Group, error: Exception, reservation: Reservation) -> Settlement:
        """Halt a saga whose outcomes cannot be stored; what they were is told in words that can."""
        [(saga_id, outcomes)] = group.items()
        log.error("Saga %s is halted: its outcomes could not be stored.", saga_id, exc_info=error)
        result = Settlement(let_go={saga_id})
        for locked in lock_all([saga_id], by=worker_name(self.worker)):
            ours = [settled for settled in outcomes if self._is_ours(locked, settled.attempt)]
            for settled in ours:
                if fits(locked, settled.attempt):
                    refuse(locked, settled, type(error).__name__)
            if ours:
                held = ours[0].attempt.held
                border = self._border(reservation, begin=False)
                border.prepare([locked])
                advance(locked, held, border)
                result.errands = store([locked], border.admission)
            else:
                write([locked])
            result.news = news_of([locked])
            if locked.saga.held_by == self.worker:
                result.let_go.clear()
        return result

    def _is_ours(self, locked: Locked, attempt: Attempt) -> bool:
        return locked.saga.held_by == self.worker and locked.saga.fence == attempt.held.fence


def settle(
    outcomes: Sequence[Settled],
    worker: UUID,
    slots: Slots,
    *,
    lease: timedelta,
    begin: bool = True,
    holds: Holds | None = None,
) -> Settlement:
    """Write the outcomes of attempts in one transaction and mark the next attempts of their sagas as sent.

    Without `begin` nothing new is started. A saga whose outcomes cannot be stored does not
    hold up the others: it is halted, with its evidence.
    """
    group: dict[UUID, list[Settled]] = {}
    for settled in outcomes:
        group.setdefault(settled.attempt.held.id, []).append(settled)
    holds = Holds.in_force() if holds is None else holds
    settlement = Settling(worker, slots, lease, begin, holds).settle(group)
    settlement.conclude()
    return settlement


def _finished(group: Group) -> list[Attempt]:
    """Return the attempts of which nothing runs any more: their slots are their sagas' to go on with."""
    return [settled.attempt for outcomes in group.values() for settled in outcomes if settled.ended]


def _written(step: SagaStep) -> Written:
    return step.name, step.status, step.in_flight, step.attempts, step.undo_attempts


def is_written(settlement: Settlement) -> bool:
    """After a COMMIT without an answer: status and attempts of the steps say whether it was carried out."""
    sagas = list(
        Saga.objects.select_for_update(no_key=True)
        .filter(pk__in=settlement.written)
        .order_by("pk")
        .values_list("pk")
    )
    if not sagas:
        return False
    steps: dict[UUID, set[Written]] = {}
    for step in SagaStep.objects.filter(saga__in=settlement.written).defer("result"):
        steps.setdefault(step.saga_id, set()).add(_written(step))
    return any(steps.get(pk, set()) >= set(written) for pk, written in settlement.written.items() if written)
