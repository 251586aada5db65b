"""Who may begin: semantic locks, limits over all workers, rates, holds.

All of it is decided under mutexes within the transaction that marks the attempts, so that it holds over all
workers. Whoever may not begin waits on a name; whoever gives room wakes those that wait on it. A definition
that uses none of this costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast
from uuid import UUID

from django.db.models import UUIDField, Value
from django.db.models.functions import Cast, Concat

from sagas.definitions import REFUSE, Element, Outline, Participant, SagaDefinition, SubSaga, SubSagas
from sagas.engine import mutexes
from sagas.engine.holds import Holds
from sagas.engine.locked import Locked
from sagas.engine.remains import with_living_children
from sagas.engine.transactions import LockTimeout, promptly
from sagas.exceptions import LockHeld
from sagas.keys import render_key
from sagas.models import Pace, Permit, Saga, SagaStep, SemanticLock
from sagas.states import AT_WORK, Direction, SagaStatus, WaitsFor

LOOK_AGAIN = timedelta(minutes=1)
"""Who waits for room is woken when there is some; this is for wake-ups that were lost."""
LOOK_AGAIN_WHEN_HELD = timedelta(minutes=10)
BURST = timedelta(seconds=1)
"""How much of a rate that was not used may be caught up with."""
PATIENCE = timedelta(seconds=1)
"""Who does not wait for a lock waits so long for one who is about to take it."""
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Blocked:
    """Why something may not begin, and when to look again at the latest."""

    waits_for: WaitsFor
    waits_on: str
    until: datetime


@dataclass
class Admission:
    """What one transaction knows of locks, limits and holds, and what it takes and frees of them."""

    holds: Holds
    permits: list[Permit] = field(default_factory=list)
    stale: list[Permit] = field(default_factory=list)
    locks: list[SemanticLock] = field(default_factory=list)
    freed: Counter[str] = field(default_factory=Counter)
    """How much room there is now for those who wait on these names."""
    _own: dict[UUID, list[Permit]] = field(default_factory=dict)
    _ended: set[UUID] = field(default_factory=set)
    _survived: set[UUID] = field(default_factory=set)
    """Those of them whose child sagas live."""
    _taken: Counter[str] = field(default_factory=Counter)
    _held: set[tuple[UUID, str, str]] = field(default_factory=set)
    _owner: dict[str, UUID] = field(default_factory=dict)
    _queued: set[str] = field(default_factory=set)
    _paces: dict[str, datetime] = field(default_factory=dict)
    _paced: set[str] = field(default_factory=set)

    def prepare(self, batch: Sequence[Locked]) -> None:
        """Take the mutexes that these sagas may need, and read what is taken and who waits."""
        using = Saga.objects.db
        limits: set[str] = set()
        paces: set[str] = set()
        locks: set[str] = set()
        holders: list[UUID] = []
        for locked in batch:
            if (uses := uses_of(locked.definition)).any:
                limits |= uses.limits
                paces |= uses.paces
                if _is_to_begin(locked):
                    locks |= set(lock_names(locked.definition, locked.saga.input))
                elif uses.locks:
                    holders.append(locked.saga.pk)
        if holders:  # They may end, and whoever waits for their locks must not miss it.
            locks |= set(SemanticLock.objects.filter(saga__in=holders).values_list("name", flat=True))
        if not (limits or paces or locks):
            return
        mutexes.take(using, limits | paces | locks)
        if paces:
            self._paces = dict(Pace.objects.filter(name__in=paces).values_list("name", "next_at"))
        if limits or locks:
            self._read(batch, limits, locks)

    def _read(self, batch: Sequence[Locked], limits: set[str], locks: set[str]) -> None:
        """Read what is taken of these and who waits for them. One statement."""
        by_id = {locked.saga.pk: locked for locked in batch}
        names = [f"limit:{name}" for name in limits] + [f"lock:{name}" for name in locks]
        waiting = SagaStep.objects.filter(waits_on__in=names, saga__status__in=AT_WORK).order_by()
        nobody = Cast(Value(None), UUIDField())  # PostgreSQL has to be told the type of what is not there.
        rows = waiting.values_list("waits_on", nobody, Value(""), Value(0)).distinct()
        permits = Permit.objects.filter(name__in=limits).order_by()
        owners = SemanticLock.objects.filter(name__in=locks).order_by()
        found = rows.union(
            permits.values_list(Concat(Value("permit:"), "name"), "saga_id", "step", "pk"),
            owners.values_list(Concat(Value("owner:"), "name"), "saga_id", Value(""), Value(0)),
            all=True,
        )
        for row, saga_id, step, pk in found:
            kind, name = row.split(":", 1)
            match kind:
                case "permit":
                    self._note_permit(
                        Permit(pk=pk, name=name, saga_id=saga_id, step=step), by_id.get(saga_id)
                    )
                case "owner":
                    self._owner[name] = saga_id
                case _:
                    self._queued.add(row)

    def _note_permit(self, permit: Permit, locked: Locked | None) -> None:
        if locked is not None and permit.step:
            step = locked.steps.get(permit.step)
            if step is None or not step.in_flight:
                self._give_back(permit)
                return
        if locked is not None:
            self._own.setdefault(permit.saga_id, []).append(permit)
        self._taken[permit.name] += 1
        self._held.add((permit.saga_id, permit.name, permit.step))

    def _give_back(self, permit: Permit) -> None:
        self.stale.append(permit)
        self.freed[f"limit:{permit.name}"] += 1

    def saga(self, locked: Locked, *, waited: bool) -> Blocked | None:
        """Let a saga begin, or say what it has to wait for. `waited` says that it has had to before."""
        definition, now = locked.definition, locked.now
        if held := self.holds.on(definition.name, None):
            return _on_hold(held, now)
        if definition.max_running is not None:
            name = limit_of_definition(definition)
            if blocked := self._take(locked, name, "", definition.max_running, waited=waited):
                return blocked
        return self._lock(locked, waited=waited)

    def step(self, locked: Locked, element: Element, direction: Direction, *, waited: bool) -> Blocked | None:
        """Let a step begin, or say what it has to wait for. Holds do not keep compensations."""
        forward = direction is Direction.FORWARD
        if forward and (held := self.holds.on(locked.saga.definition, element.participant)):
            return _on_hold(held, locked.now)
        participant = element.participant
        if participant is None or not participant.is_limited:
            return None
        name = limit_of_participant(participant)
        if participant.rate is not None:
            next_at = max(self._paces.get(name, EPOCH), locked.now - BURST)
            if next_at > locked.now:
                return Blocked(WaitsFor.LIMIT, "", next_at)
            if blocked := self._take_limited(locked, element, participant, waited=waited):
                return blocked
            self._paces[name] = next_at + timedelta(seconds=1 / participant.rate)
            self._paced.add(name)
            return None
        return self._take_limited(locked, element, participant, waited=waited)

    def end(self, locked: Locked) -> None:
        """Note that a saga has ended, for which all was prepared; `close` frees what it held.

        The locks of one that was abandoned stay for as long as its child sagas work: they share them.
        """
        if uses_of(locked.definition).any:
            self._ended.add(locked.saga.pk)
            if locked.saga.status == SagaStatus.ABANDONED:
                self._survived |= with_living_children([locked.saga.pk])

    def close(self) -> None:
        """Free what the sagas that have ended held, and what this transaction was to give them."""
        ended = self._ended
        for permit in [permit for saga in ended for permit in self._own.get(saga, ())]:
            self._give_back(permit)
        if locks := [name for name, owner in self._owner.items() if owner in ended - self._survived]:
            SemanticLock.objects.filter(name__in=locks).delete()
        self.freed.update(f"lock:{name}" for name in locks)
        self.freed.update(f"limit:{permit.name}" for permit in self.permits if permit.saga_id in ended)
        self.permits = [permit for permit in self.permits if permit.saga_id not in ended]
        self.locks = [lock for lock in self.locks if lock.saga_id not in ended]

    def write_paces(self) -> None:
        """Store how far the rates are used up."""
        if self._paced:
            Pace.objects.bulk_create(
                [Pace(name=name, next_at=self._paces[name]) for name in sorted(self._paced)],
                update_conflicts=True,
                update_fields=["next_at"],
                unique_fields=["name"],
            )

    def _take_limited(
        self, locked: Locked, element: Element, participant: Participant, *, waited: bool
    ) -> Blocked | None:
        if participant.limit is None:
            return None
        name = limit_of_participant(participant)
        return self._take(locked, name, element.name, participant.limit, waited=waited)

    def _take(self, locked: Locked, name: str, step: str, limit: int, *, waited: bool) -> Blocked | None:
        permit = (locked.saga.pk, name, step)
        if permit in self._held:
            return None
        waits_on = f"limit:{name}"
        if self._taken[name] >= limit or (not waited and waits_on in self._queued):
            self._queued.add(waits_on)
            return Blocked(WaitsFor.LIMIT, waits_on, locked.now + LOOK_AGAIN)
        self._held.add(permit)
        self._taken[name] += 1
        self.permits.append(Permit(name=name, saga_id=locked.saga.pk, step=step))
        self.freed[waits_on] -= 1
        return None

    def _lock(self, locked: Locked, *, waited: bool) -> Blocked | None:
        """Take the saga's locks in the order of their names; it keeps those while it waits for the next."""
        names = lock_names(locked.definition, locked.saga.input)
        if not names:
            return None
        root = root_of(locked.saga)
        for name in names:
            if (owner := self._owner.get(name)) == root:
                continue
            waits_on = f"lock:{name}"
            if owner is not None or (not waited and waits_on in self._queued):
                self._queued.add(waits_on)
                return Blocked(WaitsFor.LOCK, waits_on, locked.now + LOOK_AGAIN)
            self._owner[name] = root
            self.locks.append(SemanticLock(name=name, saga_id=root))
        return None


@dataclass(frozen=True)
class Uses:
    """What of admission a definition makes use of."""

    limits: frozenset[str]
    paces: frozenset[str]
    locks: bool
    """Whether a saga of it may hold locks: its own, or those of its child sagas."""

    @property
    def any(self) -> bool:
        """Whether it uses anything."""
        return bool(self.limits or self.paces or self.locks)


def uses_of(definition: type[SagaDefinition]) -> Uses:
    """Return what of admission a definition makes use of."""
    return _uses(cast(Hashable, definition))


@cache
def _uses(definition: Any) -> Uses:
    participants = _participants(definition.outline())
    limits = {limit_of_participant(p) for p in participants if p.limit is not None}
    if definition.max_running is not None:
        limits.add(limit_of_definition(definition))
    paces = {limit_of_participant(p) for p in participants if p.rate is not None}
    children = (
        e.definition for e in definition.outline().steps.values() if isinstance(e, SubSaga | SubSagas)
    )
    locks = bool(definition.locks) or any(uses_of(child).locks for child in children)
    return Uses(frozenset(limits), frozenset(paces), locks)


def _participants(outline: Outline) -> Iterable[Participant]:
    return {element.participant for element in outline.steps.values() if element.participant is not None}


def limit_of_participant(participant: Participant) -> str:
    """Return the name under which attempts at a participant are counted."""
    return f"participant:{participant.name}"


def limit_of_definition(definition: type[SagaDefinition]) -> str:
    """Return the name under which a definition's sagas are counted."""
    return f"definition:{definition.name}"


def lock_names(definition: type[SagaDefinition], input: dict[str, object]) -> list[str]:
    """Return the semantic locks of a saga with this input, in the order they are taken."""
    return sorted({render_key(template, input) for template in definition.locks})


def lock_now(sagas: Sequence[Saga], definition: type[SagaDefinition]) -> None:
    """Take the locks of new sagas whose definition does not wait for them. Raise `LockHeld`."""
    if not definition.locks or definition.on_locked is not REFUSE:
        return
    wanted = {name: saga for saga in sagas for name in lock_names(definition, saga.input)}
    locks = [SemanticLock(name=name, saga_id=saga.pk) for name, saga in sorted(wanted.items())]
    try:
        # A row that is being inserted elsewhere is waited for until that transaction ends.
        with promptly(PATIENCE):
            SemanticLock.objects.bulk_create(locks, ignore_conflicts=True)
    except LockTimeout:
        raise LockHeld(
            f"{definition.name} was not started: somebody is about to take its locks. Try again.", None
        ) from None
    for name, owner in SemanticLock.objects.filter(name__in=wanted).values_list("name", "saga_id"):
        if owner != wanted[name].pk:
            raise LockHeld(
                f"{definition.name} was not started: saga {owner} holds the lock {name!r}. Wait until it has "
                "ended.",
                owner,
            )


def root_of(saga: Saga) -> UUID:
    """Return the id of the saga that this one descends from, whether or not that lives: itself, if none."""
    root, parent = saga.pk, saga.parent_id
    while parent is not None:
        root, parent = parent, Saga.objects.values_list("parent_id", flat=True).get(pk=parent)
    return root


def _is_to_begin(locked: Locked) -> bool:
    return locked.saga.status == SagaStatus.PENDING


def _on_hold(held: tuple[str, datetime | None], now: datetime) -> Blocked:
    name, until = held
    return Blocked(WaitsFor.HOLD, name, min(until or now + LOOK_AGAIN_WHEN_HELD, now + LOOK_AGAIN_WHEN_HELD))
