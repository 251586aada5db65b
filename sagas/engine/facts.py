"""What outside writers ask of a saga, and the engine's answer at the next step border."""

from __future__ import annotations

from django.db.models import TextChoices

from sagas.engine.locked import Locked
from sagas.engine.planner import Wish, has_passed_pivot
from sagas.models import HistoryKind
from sagas.states import Direction


class FactKind(TextChoices):
    """What can be asked of a saga that some worker may hold."""

    TURN_BACK = "turn_back"
    SUSPEND = "suspend"


def wish_of(locked: Locked) -> Wish:
    """Return what the open facts ask for; what was overtaken by events is refused and recorded."""
    turn_back = suspend = False
    for fact in locked.facts:
        if fact.applied_at:
            continue
        if fact.kind == FactKind.SUSPEND:
            suspend = True
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


def fulfil(locked: Locked, kind: FactKind) -> None:
    """Mark the facts of this kind as applied."""
    for fact in locked.facts:
        if fact.kind == kind:
            fact.applied_at = fact.applied_at or locked.now
