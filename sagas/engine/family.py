"""Sagas that are steps of other sagas: their birth, their end, and their undoing.

No settlement writes another saga's row. A child's end is a fact for its parent, a parent's wish one for its
child; both are acted on when that saga is next at a step border.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db.models import Count

from sagas.definitions import TURN_BACK, SubSaga, SubSagas, registry
from sagas.engine import births
from sagas.engine.attempts import Held
from sagas.engine.facts import FactKind, fulfil
from sagas.engine.locked import Locked
from sagas.keys import child_id
from sagas.models import Saga, SagaStep
from sagas.states import FAMILY, TERMINAL, Direction, SagaStatus, StepKind, StepStatus, WaitsFor

LOOK_AGAIN = timedelta(minutes=10)
"""A parent is woken when its children end; this is for wake-ups that were lost."""

_ENDED_WELL = SagaStatus.COMPLETED
_LIVING = frozenset(status for status in SagaStatus if status not in TERMINAL)


def bear(
    locked: Locked, step: SagaStep, element: SubSaga | SubSagas, inputs: Sequence[dict[str, Any]]
) -> None:
    """Have the children that a step consists of stored with it, and wait for them."""
    parent = locked.saga
    many = isinstance(element, SubSagas)
    for index, input in enumerate(inputs):
        child = births.new_saga(
            element.definition,
            input=input,
            key=births.business_key(element.definition, input),
            saga_id=child_id(parent.pk, step.name, index if many else None),
            correlation_id=parent.correlation_id,
            traceparent=parent.traceparent,
        )
        child.parent_id, child.parent_step = parent.pk, step.name
        locked.births.append(child)
    step.park(WaitsFor.CHILD, due_at=locked.now + (LOOK_AGAIN if inputs else timedelta(0)))


def store_births(batch: Iterable[Locked]) -> bool:
    """Store the children of a batch; say whether there were any."""
    by_definition: dict[str, list[Saga]] = {}
    for locked in batch:
        for child in locked.births:
            by_definition.setdefault(child.definition, []).append(child)
    for children in by_definition.values():
        births.store(children, registry.named(children[0].definition))
    return bool(by_definition)


def tell_parent(locked: Locked) -> None:
    """Leave the parent of a saga that has ended the fact that it has."""
    saga = locked.saga
    if saga.parent_id is not None:
        locked.tell(
            saga.parent_id,
            FactKind.CHILD,
            f"{saga.pk}:{saga.status}",
            step=saga.parent_step,
            status=saga.status,
        )


def call_back(locked: Locked, step: SagaStep) -> None:
    """Have a step's children turn back: those that live, and those that have completed."""
    locked.recalled[step.name] = f"parent:{step.undo_attempts}"


def tell_recalled(batch: Iterable[Locked]) -> None:
    """Leave the children that a batch calls back the fact that it does: those just born, too."""
    calling = {locked.saga.pk: locked for locked in batch if locked.recalled}
    if not calling:
        return
    children = Saga.objects.filter(parent__in=calling).order_by("pk")
    ours = children.exclude(status__in=(SagaStatus.COMPENSATED, SagaStatus.ABANDONED))
    for pk, parent, step in ours.values_list("pk", "parent_id", "parent_step"):
        if source := calling[parent].recalled.get(step):
            calling[parent].tell(pk, FactKind.TURN_BACK, source)


def take_stock(batch: Iterable[Locked]) -> None:
    """Read, for all of these sagas at once, how the children that their steps wait for stand."""
    waiting = {
        locked.saga.pk: locked for locked in batch if any(map(_waits_for_children, locked.steps.values()))
    }
    if not waiting:
        return
    children = Saga.objects.filter(parent__in=waiting)
    counts = children.order_by().values_list("parent_id", "parent_step", "status").annotate(Count("pk"))
    for parent, step, status, number in counts:
        waiting[parent].children.setdefault(step, Counter())[status] = number
    singles = {
        child_id(locked.saga.pk, name): (locked, name)
        for locked in waiting.values()
        for name, step in locked.steps.items()
        if step.kind == StepKind.SAGA and locked.children.get(name, Counter())[_ENDED_WELL]
    }
    if singles:
        done = SagaStep.objects.filter(saga__in=singles, result__isnull=False)
        for child, name, result in done.values_list("saga_id", "name", "result"):
            locked, step = singles[child]
            locked.child_results.setdefault(step, {})[name] = result


def _waits_for_children(step: SagaStep) -> bool:
    return step.kind in FAMILY and (
        step.status == StepStatus.COMPENSATING or step.waits_for == WaitsFor.CHILD
    )


def look_after(locked: Locked, step: SagaStep, element: SubSaga | SubSagas, held: Held) -> None:
    """Bring a step that waits for its children up to date with them."""
    fulfil(locked, FactKind.CHILD, step.name)
    counts = locked.children.get(step.name, Counter())
    alive = sum(counts[status] for status in _LIVING)
    if step.status == StepStatus.COMPENSATING:
        if alive or counts[_ENDED_WELL]:
            step.due_at = locked.now + LOOK_AGAIN
        elif counts[SagaStatus.ABANDONED]:
            _note(locked, step, "ChildAbandoned", counts)  # What it did stands, and nobody undoes it.
            step.undo_failed(now=locked.now)
        else:
            step.undone(now=locked.now)
        return
    failed = sum(counts.values()) - alive - counts[_ENDED_WELL]
    gives_up = failed and (isinstance(element, SubSaga) or element.on_failed is TURN_BACK)
    if alive:
        step.due_at = locked.now + LOOK_AGAIN
        if gives_up:
            call_back(locked, step)
    elif not gives_up:
        step.complete(now=locked.now)
        step.result = held.results[step.name] = _result(locked, step, element, counts)
    else:
        _give_up(locked, step, counts)


def _give_up(locked: Locked, step: SagaStep, counts: Counter[str]) -> None:
    _note(locked, step, "ChildFailed", counts)
    if counts[SagaStatus.ABANDONED] or counts[_ENDED_WELL]:
        step.doubt(now=locked.now)  # Something of it is left, and is to be undone.
    else:
        step.fail(now=locked.now)


def _note(locked: Locked, step: SagaStep, error_class: str, counts: Counter[str]) -> None:
    told = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    step.error_class, step.error = error_class, f"Of the child sagas of {step.name} are {told}."
    locked.saga.note_error(step.error_class, step.error, step=step.name)


def _result(
    locked: Locked, step: SagaStep, element: SubSaga | SubSagas, counts: Counter[str]
) -> dict[str, Any]:
    if isinstance(element, SubSagas):
        return {status: counts[status] for status in sorted(counts)}
    results = locked.child_results.get(step.name, {})
    return {"saga": str(child_id(locked.saga.pk, step.name)), "results": results}


def is_family(element: object) -> bool:
    """Say whether an element's work is done by child sagas."""
    return isinstance(element, (SubSaga, SubSagas))


def is_wanted_back(locked: Locked) -> bool:
    """Say whether a completed saga has been called back by its parent."""
    wanted = any(fact.kind == FactKind.TURN_BACK and not fact.applied_at for fact in locked.facts)
    return wanted and locked.saga.status == SagaStatus.COMPLETED and locked.direction is Direction.FORWARD
