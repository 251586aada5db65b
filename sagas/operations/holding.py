"""Holds: no new attempt goes forward at a definition or a participant until it is released."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from sagas.canonical import clean_text
from sagas.clock import DatabaseTime
from sagas.engine.errands import nudge
from sagas.engine.holds import hold_name
from sagas.exceptions import PermissionRefused
from sagas.models import Hold, SagaStep
from sagas.operations.actors import Actor, By
from sagas.states import AT_WORK

PERMISSION = "sagas.hold_saga"
AT_ONCE = 1000


def hold(
    *, definition: str = "", participant: str = "", by: By, reason: str = "", until: datetime | None = None
) -> Hold:
    """Keep new attempts from going forward at one of the two, within a second on every worker.

    Compensations go on. Holding what is held changes reason and end. Raises `PermissionRefused`, and
    `ValueError` unless exactly one of definition and participant is named.
    """
    if bool(definition) == bool(participant):
        raise ValueError("A hold is on a definition or on a participant: name exactly one.")
    actor = _permitted(by)
    found, _created = Hold.objects.update_or_create(
        definition=definition,
        participant=participant,
        defaults={"by": actor.name, "reason": clean_text(reason), "until": until},
    )
    return found


def release(hold: Hold, *, by: By) -> int:
    """End a hold; return how many sagas waited for that and go on now. Raises `PermissionRefused`."""
    _permitted(by)
    name = hold_name(definition=hold.definition, participant=hold.participant)
    hold.delete()
    released = 0
    while True:
        waiting = SagaStep.objects.filter(
            waits_on=name, due_at__gt=DatabaseTime(), saga__status__in=AT_WORK
        ).order_by("id")
        steps = dict(waiting.values_list("pk", "saga_id")[:AT_ONCE])
        if not steps:
            return released
        with transaction.atomic(using=Hold.objects.db):
            nudge(set(steps.values()))
            SagaStep.objects.filter(pk__in=steps, waits_on=name).update(due_at=DatabaseTime())
        released += len(steps)


def _permitted(by: By) -> Actor:
    actor = Actor.of(by)
    if not actor.may(PERMISSION):
        raise PermissionRefused(f"{actor.name} lacks the permission {PERMISSION}.")
    return actor
