"""Operations on the course of a whole saga, and not on single steps."""

from __future__ import annotations

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from sagas.definitions import registry
from sagas.engine.admission import lock_names, lock_now, uses_of
from sagas.engine.births import business_key, new_saga, store
from sagas.engine.facts import FactKind, fulfil, open_fact
from sagas.engine.family import tell_parent
from sagas.engine.locked import Locked
from sagas.engine.planner import has_passed_pivot
from sagas.engine.steering import turn_back
from sagas.exceptions import LockHeld
from sagas.keys import next_undo_key
from sagas.models import HistoryEntry, HistoryKind, Saga, SagaStep, SemanticLock
from sagas.operations.editing import changed_input
from sagas.operations.operation import Refusal, Refused, Request
from sagas.operations.steps import code_refusal
from sagas.states import LIVE, Attention, Direction, SagaStatus, StepStatus

STUCK_AFTER = timedelta(seconds=10)
"""Overdue by more than this is stuck: something should have moved it by now."""


def resume_refusal(locked: Locked, request: Request) -> Refusal | None:
    """Say why it need not be resumed."""
    saga = locked.saga
    if saga.status == SagaStatus.SUSPENDED or is_stuck(locked) or open_fact(locked, FactKind.SUSPEND):
        return None
    if saga.status == SagaStatus.FAILED:
        return Refusal(
            "invalid_state", _("it is failed, not suspended. Retry it, or turn it back with compensate.")
        )
    return Refusal(
        "invalid_state",
        _("it is %(status)s, neither suspended nor stuck.") % {"status": saga.get_status_display()},
    )


def resume(locked: Locked, request: Request) -> None:
    """Let it go on the way it went."""
    if locked.saga.status == SagaStatus.SUSPENDED:
        locked.move(locked.saga.resume, has_begun=locked.has_begun, act=request.act)
        locked.saga.due_at = locked.now
    else:
        # It is asked before its worker came to stop, or it is due already and lacks the wake-up that follows.
        fulfil(locked, FactKind.SUSPEND)
        locked.record(**request.act)


def is_stuck(locked: Locked) -> bool:
    """Say whether the saga is due and nobody moves it."""
    saga = locked.saga
    return saga.is_live and saga.due_at is not None and saga.due_at < locked.now - STUCK_AFTER


def suspend_refusal(locked: Locked, request: Request) -> Refusal | None:
    """Say why there is nothing to stop."""
    if locked.saga.status in (SagaStatus.PENDING, SagaStatus.RUNNING, SagaStatus.COMPENSATING):
        return None
    return Refusal(
        "invalid_state",
        _("it is %(status)s, so nothing of it runs.") % {"status": locked.saga.get_status_display()},
    )


def suspend(locked: Locked, request: Request) -> None:
    """Stop it at the next step border."""
    if locked.saga.held_by is None:
        locked.move(locked.saga.suspend, act=request.act)
    else:
        _leave_fact(locked, FactKind.SUSPEND, request)


def compensate_refusal(locked: Locked, request: Request) -> Refusal | None:
    """Say why it cannot be turned back."""
    saga = locked.saga
    if saga.status == SagaStatus.COMPLETED and _may_be_undone(saga):
        return code_refusal(locked)
    if saga.status == SagaStatus.COMPENSATED and _late_effects(locked):
        return code_refusal(locked)
    if not saga.is_live:
        return Refusal(
            "invalid_state", _("it has ended as %(status)s.") % {"status": saga.get_status_display()}
        )
    if saga.direction == Direction.BACK:
        advice = (
            _("Retry the compensation that failed.")
            if saga.status == SagaStatus.FAILED
            else _("Let it go on.")
        )
        return Refusal("invalid_state", _("it goes back already. %(advice)s") % {"advice": advice})
    if refusal := code_refusal(locked):
        return refusal
    if has_passed_pivot(locked.outline, locked.steps):
        return Refusal(
            "past_pivot",
            _(
                "it has passed its pivot, or may have, and can only go forward. Retry it until it"
                " completes, then start the saga that reverses it."
            ),
        )
    return None


def compensate(locked: Locked, request: Request) -> None:
    """Turn it back at the next step border; or undo what has completed, or took effect after its undo."""
    if locked.saga.held_by is not None:
        _leave_fact(locked, FactKind.TURN_BACK, request)
        return
    if not locked.saga.is_live:
        _take_locks_again(locked)
    if locked.saga.status == SagaStatus.COMPENSATED:
        _undo_again(locked, request)
    else:
        turn_back(locked, act=request.act)
    locked.saga.due_at = locked.now


def _late_effects(locked: Locked) -> list[SagaStep]:
    """Return the steps that took effect after they were undone, as far as nobody has seen to that."""
    if locked.saga.attention != Attention.LATE_EFFECT:
        return []
    evidence = HistoryEntry.objects.filter(
        saga=locked.saga.pk, kind=HistoryKind.EVIDENCE, data__attention=Attention.LATE_EFFECT.value
    )
    late = set(evidence.values_list("step", flat=True))
    return [
        step for name, step in locked.steps.items() if name in late and step.status == StepStatus.COMPENSATED
    ]


def _undo_again(locked: Locked, request: Request) -> None:
    late = _late_effects(locked)
    locked.move(locked.saga.undo_again, act=request.act)
    locked.writes_border_fields = True
    for step in late:
        locked.step(step.name).undo_again(now=locked.now, key=next_undo_key(step.undo_key))


def abandon_refusal(locked: Locked, request: Request) -> Refusal | None:
    """Say why there is nothing to abandon."""
    if locked.saga.is_live:
        return None
    return Refusal(
        "invalid_state", _("it has ended as %(status)s.") % {"status": locked.saga.get_status_display()}
    )


def abandon(locked: Locked, request: Request) -> None:
    """End it as it is: what was done stays done, and the rest is never begun."""
    locked.move(locked.saga.abandon, act=request.act, now=locked.now)
    tell_parent(locked)


def acknowledge_refusal(locked: Locked, request: Request) -> Refusal | None:
    """Say why there is nothing that a person could have seen to."""
    saga = locked.saga
    if not saga.attention:
        return Refusal("invalid_state", _("it needs nobody."))
    if saga.status == SagaStatus.FAILED:
        return Refusal(
            "invalid_state", _("it stands still because of that. Retry it, resolve it, or turn it back.")
        )
    return None


def acknowledge(locked: Locked, request: Request) -> None:
    """Note that a person has seen to what it called for, outside of it; it is shown as well again."""
    saga = locked.saga
    if saga.attention == Attention.DEADLINE:
        saga.deadline_at = None  # Else it would call again at the next step border.
    locked.record(**request.act, data={"acknowledged": saga.attention})
    saga.attention = ""


def restart_refusal(locked: Locked, request: Request) -> Refusal | None:
    """Say why no new saga can take its place."""
    saga = locked.saga
    if saga.is_live:
        return Refusal(
            "invalid_state",
            _("it is %(status)s. Retry it, or turn it back first.") % {"status": saga.get_status_display()},
        )
    if saga.definition not in registry:
        return code_refusal(locked)
    if saga.parent_id is not None:
        return Refusal("invalid_state", _("it is a step of another saga. Restart that one."))
    changed = changed_input(locked, request)
    if isinstance(changed, Refusal):
        return changed
    key = business_key(locked.definition, changed) or saga.key
    if key and Saga.objects.filter(definition=saga.definition, key=key, status__in=LIVE).exists():
        return Refusal(
            "duplicate_key",
            _("a live saga holds the key %(key)s. Wait until it has ended.") % {"key": repr(key)},
        )
    return None


def restart(locked: Locked, request: Request) -> None:
    """Start a new saga with its input, or parts of it replaced, linked to this one."""
    saga, definition = locked.saga, locked.definition
    changed = changed_input(locked, request)
    assert not isinstance(changed, Refusal)
    new = new_saga(
        definition,
        input=changed,
        key=business_key(definition, changed) or saga.key,
        started_by=request.actor.name,
        correlation_id=saga.correlation_id,
    )
    new.restarted_from_id = saga.pk
    if not store([new], definition):
        raise Refused(
            Refusal("duplicate_key", _("a live saga holds the key %(key)s by now.") % {"key": repr(new.key)})
        )
    try:
        lock_now([new], definition)
    except LockHeld as held:
        raise Refused(
            Refusal(held.code, _("another saga holds its locks. Wait until it has ended."))
        ) from held
    locked.record(**request.act, data={"saga": str(new.pk)})


def _may_be_undone(saga: Saga) -> bool:
    return saga.definition in registry and registry.named(saga.definition).undo_after_completion


def _take_locks_again(locked: Locked) -> None:
    """Have a completed saga hold again, while it is undone, what it held while it was done."""
    definition, saga = locked.definition, locked.saga
    if uses_of(definition).locks:
        names = lock_names(definition, saga.input)
        try:
            with transaction.atomic(using=Saga.objects.db):
                SemanticLock.objects.bulk_create(SemanticLock(name=n, saga_id=saga.pk) for n in names)
        except IntegrityError:
            raise Refused(
                Refusal("lock_held", _("another saga holds its locks. Wait until it has ended."))
            ) from None
    if saga.key and Saga.objects.filter(definition=saga.definition, key=saga.key, status__in=LIVE).exists():
        raise Refused(
            Refusal(
                "duplicate_key",
                _("a live saga holds its key %(key)s. Wait until it has ended.") % {"key": repr(saga.key)},
            )
        )


def _leave_fact(locked: Locked, kind: FactKind, request: Request) -> None:
    """Leave the wish for whoever holds the saga. Wishing twice is wishing once."""
    locked.record(**request.act)
    locked.tell(locked.saga.pk, kind, f"revision {locked.saga.revision}", by=request.actor.name)
