"""A saga whose row is locked, with its steps and facts as read after the lock.

Whatever moves a saga works on this: read it under the lock, change it in memory through transitions, write
the batch back. The saga's row guards its steps and facts; nothing else is locked. Sagas are locked in id
order, so that no two batches can wait for each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, QuerySet

from sagas.clock import StatementTime, shifted
from sagas.definitions import Event, Outline, SagaDefinition, registry
from sagas.engine import bulk
from sagas.engine.instances import columns, like, stored
from sagas.engine.queries import Among, fetch, fetch_again, fetch_among, fetch_each_among
from sagas.models import ActorKind, HistoryEntry, HistoryKind, Saga, SagaFact, SagaStep
from sagas.states import Direction, SagaStatus, StepStatus

SAGA_FIELDS = (
    "status",
    "direction",
    "attention",
    "due_at",
    "deadline_at",
    "held_by",
    "fence",
    "revision",
    "steps_done",
    "current_step",
    "failed_step",
    "error_class",
    "error",
    "error_fingerprint",
    "updated_at",
    "ended_at",
)
STEP_FIELDS = (
    "status",
    "call",
    "applies",
    "waits_for",
    "waits_on",
    "in_doubt",
    "attempts",
    "crashes",
    "undo_attempts",
    "undo_crashes",
    "round_base",
    "round_at",
    "sent_at",
    "inflight_until",
    "due_at",
    "result",
    "error_class",
    "error",
    "started_at",
    "ended_at",
    "undo_started_at",
    "undo_ended_at",
)
HISTORY_FIELDS = (
    "saga",
    "kind",
    "actor_kind",
    "actor",
    "operation",
    "reason",
    "from_status",
    "to_status",
    "step",
    "direction",
    "attempt",
    "data",
    "at",
)
BORDER_FIELDS = ("idempotency_key", "undo_key", "given_input")
"""Written only where a step's keys are made of a template, or its input was edited between attempts."""
FACT_FIELDS = ("saga", "kind", "source", "data", "by")

_PAST = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})
_DIRECTIONS = {each.value: each for each in Direction}


@dataclass(slots=True)
class Locked:
    """One locked saga and what is about to be written of it."""

    saga: Saga
    now: datetime
    by: str = ""
    """The worker that has it, as the history names it; empty for whoever is none."""
    steps: dict[str, SagaStep] = field(default_factory=dict)
    facts: list[SagaFact] = field(default_factory=list)
    touched: dict[str, SagaStep] = field(default_factory=dict)
    entries: list[HistoryEntry] = field(default_factory=list)
    told: list[SagaFact] = field(default_factory=list)
    """Facts for this saga or for others, to be written with it."""
    published: list[Event] = field(default_factory=list)
    waiting: list[SagaStep] = field(default_factory=list)
    """Steps that begin to wait for an event."""
    writes_border_fields: bool = False
    births: list[Saga] = field(default_factory=list)
    """Child sagas, to be stored with it."""
    recalled: dict[str, str] = field(default_factory=dict)
    """The steps whose child sagas are to turn back, and the source of that wish."""
    children: dict[str, Counter[str]] = field(default_factory=dict)
    """How many child sagas of the steps that wait for them stand how."""
    child_results: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The results of a child saga's steps, by the step that it is."""
    _definition: type[SagaDefinition] | None = None
    _outline: Outline | None = None

    @property
    def direction(self) -> Direction:
        """Which way the saga goes, or went before it stopped."""
        return _DIRECTIONS[self.saga.direction]

    @property
    def definition(self) -> type[SagaDefinition]:
        """The definition as the code has it. Raise `UnknownDefinition` if it has none."""
        if self._definition is None:
            self._definition = registry.named(self.saga.definition)
        return self._definition

    @property
    def outline(self) -> Outline:
        """The definition's steps, as far as this saga has them, by stage and name."""
        if self._outline is None:
            self._outline = self.definition.outline().only(self.steps.keys())
        return self._outline

    def replace_steps(self, steps: dict[str, SagaStep]) -> None:
        """Have other steps: those of another version of the definition."""
        self.steps = steps
        self._outline = None

    @property
    def has_begun(self) -> bool:
        """Whether anything of it was begun."""
        return any(step.started_at is not None for step in self.steps.values())

    def step(self, name: str) -> SagaStep:
        """Return a step that is about to change."""
        return self.touched.setdefault(name, self.steps[name])

    def move(
        self, transition: Callable[..., Any], *args: Any, act: dict[str, Any] | None = None, **kw: Any
    ) -> None:
        """Apply one of the saga's transitions and record the change of status; `act` says who wanted it."""
        before = self.saga.status
        transition(*args, **kw)
        self.record(**(act or {"kind": HistoryKind.STATUS}), from_status=before, to_status=self.saga.status)

    def tell(self, saga_id: UUID, kind: str, source: str, *, by: str = "", **data: Any) -> None:
        """Leave a fact for a saga. The same from the same source is told once."""
        self.told.append(SagaFact(saga_id=saga_id, kind=kind, source=source[:200], by=by, data=data))

    def record(self, **fields: Any) -> HistoryEntry:
        """Add an entry to the history, of the worker's own doing if nobody else is named."""
        by_default = {"saga_id": self.saga.pk, "at": self.now, "actor": self.by, "data": {}}
        entry = like(_entry_of_engines(), **by_default | fields)
        self.entries.append(entry)
        return entry

    @property
    def changed(self) -> bool:
        """Whether a person could see a difference."""
        return bool(self.touched or self.entries)

    def summarise(self) -> None:
        """Bring the saga's columns for lists up to date with its steps."""
        saga, steps = self.saga, self.steps.values()
        ahead = [step.name for step in steps if step.status not in _PAST]
        saga.steps_done = len(steps) - len(ahead)
        if saga.direction == Direction.BACK:
            ahead = [step.name for step in steps if step.direction is Direction.BACK]
        saga.current_step = ahead[0] if ahead else saga.current_step
        saga.failed_step = saga.current_step if saga.status == SagaStatus.FAILED else ""
        saga.revision += 1
        saga.updated_at = self.now


@cache
def _entry_of_engines() -> HistoryEntry:
    return HistoryEntry(actor_kind=ActorKind.ENGINE)


def lock(sagas: QuerySet[Saga], *, payload: bool = False) -> list[Locked]:
    """Lock these sagas and read their steps and open facts: two statements, or three where there are facts.

    The query says how to lock (``select_for_update``) and in which order. Steps and facts are read by
    statements of their own, begun after the locks were granted: a join would pair the new saga with its old
    steps. Without `payload`, input and results stay in the database.
    """
    names = columns(Saga, *(() if payload else ("input",)))
    rows = fetch(sagas.values_list(StatementTime(), *names))
    return _with_steps(rows, names, sagas.db, payload=payload)


def lock_again(select: Callable[..., QuerySet[Saga]], *arguments: Hashable, by: str) -> list[Locked]:
    """Lock and read what ``select(*arguments)`` selects, with payload; see `fetch_again`."""
    names, alias = columns(Saga), Saga.objects.db
    rows = fetch_again(_with_columns, select, names, *arguments, alias=alias)
    return _with_steps(rows, names, alias, payload=True, by=by)


def _with_columns(
    select: Callable[..., QuerySet[Saga]], names: tuple[str, ...], *arguments: Hashable
) -> QuerySet[Saga, tuple[Any, ...]]:
    return select(*arguments).values_list(StatementTime(), *names)


def lock_all(sagas: Sequence[UUID], *, by: str = "") -> list[Locked]:
    """Lock the sagas of these ids, in the order of the ids, and read them as `lock` does, without payload."""
    names, step_names, alias = columns(Saga, "input"), columns(SagaStep, "result"), Saga.objects.db
    # The steps are read when the locks are granted: the statements wait for each other in the server.
    rows, steps = fetch_each_among([(_to_lock, names), (_steps, step_names)], sagas, alias=alias)
    return _complete(_found(rows, names, alias, by), steps, step_names, alias)


def _with_steps(
    rows: Iterable[Sequence[Any]], names: tuple[str, ...], alias: str, *, payload: bool, by: str = ""
) -> list[Locked]:
    found = _found(rows, names, alias, by)
    if not found:
        return []
    step_names = columns(SagaStep, *(() if payload else ("result",)))
    ids = [locked.saga.pk for locked in found.values()]
    return _complete(found, fetch_among(_steps, ids, step_names, alias=alias), step_names, alias)


def _found(rows: Iterable[Sequence[Any]], names: tuple[str, ...], alias: str, by: str) -> dict[int, Locked]:
    """Return the sagas by the numbers that their ids are: Python hashes and compares UUIDs much slower."""
    found = {}
    for now, *row in rows:
        saga = stored(Saga, names, row, alias)
        found[saga.pk.int] = Locked(saga, shifted(now), by)
    return found


def _complete(
    found: dict[int, Locked], rows: Iterable[Sequence[Any]], names: tuple[str, ...], alias: str
) -> list[Locked]:
    """Give these sagas their steps, and the open facts where the rows say that there are some."""
    told = set()
    for has_facts, *row in rows:
        step = stored(SagaStep, names, row, alias)
        locked = found.get(step.saga_id.int)
        if locked is None:
            continue  # Its saga was stored between the two statements.
        locked.steps[step.name] = step
        if has_facts:
            told.add(locked.saga.pk)
    if told:
        fact_names = columns(SagaFact)
        for values in fetch_among(_open_facts, list(told), fact_names, alias=alias):
            fact = stored(SagaFact, fact_names, values, alias)
            found[fact.saga_id.int].facts.append(fact)
    return list(found.values())


def _to_lock(sagas: Sequence[UUID], names: tuple[str, ...]) -> QuerySet[Saga, tuple[Any, ...]]:
    rows = Saga.objects.filter(Among(F("pk"), sagas)).select_for_update(no_key=True)
    return rows.order_by("pk").values_list(StatementTime(), *names)


def _steps(sagas: Sequence[UUID], names: tuple[str, ...]) -> QuerySet[SagaStep, tuple[Any, ...]]:
    has_facts = Exists(SagaFact.objects.filter(saga=OuterRef("saga"), applied_at=None))
    return (
        SagaStep.objects.filter(Among(F("saga"), sagas))
        .order_by("stage", "id")
        .values_list(has_facts, *names)
    )


def _open_facts(sagas: Sequence[UUID], names: tuple[str, ...]) -> QuerySet[SagaFact, tuple[Any, ...]]:
    facts = SagaFact.objects.filter(Among(F("saga"), sagas), applied_at=None)
    return facts.order_by("id").values_list(*names)


def lock_one(saga_id: UUID) -> Locked:
    """Lock one saga. Raise `Saga.DoesNotExist`."""
    return _only(lock(Saga.objects.select_for_update(no_key=True).filter(pk=saga_id)), saga_id)


def look_at(saga_id: UUID) -> Locked:
    """Read one saga as `lock_one` does, without the lock: to say what could be done, not to do it."""
    return _only(look_at_many(Saga.objects.filter(pk=saga_id)), saga_id)


def look_at_many(sagas: QuerySet[Saga]) -> list[Locked]:
    """Read sagas as `lock` does, without the lock."""
    return lock(sagas)


def _only(found: list[Locked], saga_id: UUID) -> Locked:
    if not found:
        raise Saga.DoesNotExist(f"There is no saga {saga_id}.")
    return found[0]


def write(batch: Sequence[Locked], *more: bulk.Insert) -> None:
    """Write what changed, and `more`: one statement on PostgreSQL, one per table elsewhere."""
    for locked in batch:
        if locked.changed:
            locked.summarise()
    border = BORDER_FIELDS if any(locked.writes_border_fields for locked in batch) else ()
    steps = _flat(locked.touched.values() for locked in batch)
    bulk.write(
        Saga.objects.db,
        bulk.Update([locked.saga for locked in batch], SAGA_FIELDS),
        bulk.Update(steps, STEP_FIELDS + border, keep=("result",)),
        bulk.Insert(_flat(locked.entries for locked in batch), HISTORY_FIELDS),
        bulk.Insert(_flat(locked.told for locked in batch), FACT_FIELDS),
        *more,
    )
    if applied := [fact for locked in batch for fact in locked.facts if fact.applied_at]:
        SagaFact.objects.bulk_update(applied, ["applied_at"])


def _flat(groups: Iterable[Iterable[Any]]) -> list[Any]:
    return [item for group in groups for item in group]
