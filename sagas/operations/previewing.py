"""What an operation would do, said before it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from sagas.canonical import clean_text
from sagas.clock import DatabaseTime
from sagas.engine import forecast as engine_forecast
from sagas.engine.forecast import Planned, Unundoable
from sagas.engine.heartbeat import ALIVE_FOR
from sagas.engine.locked import Locked, look_at
from sagas.engine.upgrades import upgrade_at_rest
from sagas.models import Saga, Worker
from sagas.operations import choreographed
from sagas.operations.actors import Actor, By
from sagas.operations.catalogue import OPERATIONS, operation_on
from sagas.operations.operation import Refusal, Refused, Request
from sagas.operations.performing import refusal_of
from sagas.states import Direction, SagaKind


@dataclass(frozen=True)
class Preview:
    """What would come of an operation, as the saga stood at `revision`."""

    operation: str
    revision: int
    refusal: Refusal | None
    """Why it would be refused; then nothing else is said."""
    status: str = ""
    """Where the saga would stand at once."""
    calls: tuple[Planned, ...] = ()
    """What would then be called, in order, if every call is done."""
    kept: tuple[str, ...] = ()
    """The steps that are done and stay so."""
    cannot_undo: tuple[Unundoable, ...] = ()
    """What the way back would leave as it is."""
    warnings: tuple[str, ...] = ()


def preview(saga_id: UUID, operation: str, *, by: By, reason: str = "", **arguments: Any) -> Preview:
    """Say what `perform` would do, and change nothing. Raises `Saga.DoesNotExist`."""
    wanted = OPERATIONS[operation]
    request = Request(wanted.name, Actor.of(by), clean_text(reason), arguments)
    with transaction.atomic(using=Saga.objects.db):
        locked = look_at(saga_id)
        upgrade_at_rest(locked, in_memory=True)
        wanted = operation_on(locked, operation)
        revision = locked.saga.revision
        refusal = refusal_of(wanted, locked, request)
        warnings = tuple(_warnings(locked)) if refusal is None else ()
        try:
            if refusal is None:
                wanted.perform(locked, request)
        except Refused as refused:
            refusal = refused.refusal
        finally:
            transaction.set_rollback(True, using=Saga.objects.db)
    if refusal is not None:
        return Preview(operation, revision, refusal)
    seer = choreographed if locked.saga.kind == SagaKind.CHOREOGRAPHY else engine_forecast
    return Preview(
        operation,
        revision,
        None,
        status=locked.saga.status,
        kept=tuple(seer.kept(locked)),
        cannot_undo=tuple(seer.left_behind(locked)) if locked.direction is Direction.BACK else (),
        calls=tuple(seer.forecast(locked)),  # Last, for it uses the saga up.
        warnings=warnings,
    )


def _warnings(locked: Locked) -> list[str]:
    found = [
        _("It is not known whether step %(step)s took effect.") % {"step": name}
        for name, step in locked.steps.items()
        if step.in_doubt and step.direction is Direction.FORWARD
    ]
    found += [
        _("Step %(step)s is at work: it finishes first.") % {"step": name}
        for name, step in locked.steps.items()
        if step.in_flight
    ]
    if not Worker.objects.filter(beat_at__gt=DatabaseTime() - ALIVE_FOR).exists():
        found.append(_("No worker is at work. What is asked waits for one."))
    return found
