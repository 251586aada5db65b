"""What outside writers ask of a saga, and the engine's answer at the next step border."""

from __future__ import annotations

from django.db.models import TextChoices

from sagas.engine.locked import Locked
from sagas.engine.planner import NO_WISH, Wish, has_passed_pivot
from sagas.models import HistoryKind, SagaFact
from sagas.states import Direction


class FactKind(TextChoices):
    """What can be asked of a saga that some worker may hold, or told to it."""

    TURN_BACK = "turn_back"
    SUSPEND = "suspend"
    EVENT = "event"
    """An event that one of its steps waits for."""
    APPROVAL = "approval"
    """Somebody's decision."""
    CHILD = "child"
    """A child saga has ended."""


def wish_of(locked: Locked) -> Wish:
    """Return what the open facts ask for; what was overtaken by events is refused and recorded."""
    if not locked.facts:
        return NO_WISH
    turn_back = suspend = False
    for fact in locked.facts:
        if fact.applied_at:
            continue
        if fact.kind == FactKind.SUSPEND:
            suspend = True
        elif fact.kind != FactKind.TURN_BACK:
            continue
        elif locked.direction is Direction.FORWARD and has_passed_pivot(locked.outline, locked.steps):
            locked.record(
                kind=HistoryKind.REFUSAL, actor=fact.by, operation="compensate", reason="past pivot"
            )
            fact.applied_at = locked.now
        elif locked.direction is Direction.BACK:
            fact.applied_at = locked.now
        else:
            turn_back = True
    return Wish(turn_back=turn_back, suspend=suspend)


def open_fact(locked: Locked, kind: FactKind, step: str | None = None) -> SagaFact | None:
    """Return the oldest open fact of this kind, for a step or for the saga."""
    return next(
        (f for f in locked.facts if f.kind == kind and not f.applied_at and f.data.get("step") == step), None
    )


def fulfil(locked: Locked, kind: FactKind, step: str | None = None) -> None:
    """Mark the facts of this kind, or those of one step, as applied."""
    for fact in locked.facts:
        if fact.kind == kind and (step is None or fact.data.get("step") == step):
            fact.applied_at = fact.applied_at or locked.now
