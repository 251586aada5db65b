"""Brings a saga that began under an older version of its definition up to the present one."""

from __future__ import annotations

from sagas.definitions import Migration
from sagas.engine.births import new_step
from sagas.engine.locked import Locked
from sagas.models import Saga, SagaStep
from sagas.states import Direction, StepStatus

_NOT_BEGUN = (StepStatus.PENDING, StepStatus.SKIPPED)


def upgrade(locked: Locked) -> None:
    """Carry the saga over the migrations that its definition names, version by version.

    A version without one changes nothing: the saga keeps the steps it has.
    """
    saga, definition = locked.saga, locked.definition
    if saga.version >= definition.version or not definition.migrations:
        return
    for version in range(saga.version, definition.version):
        if migration := definition.migrations.get(version):
            _carry_over(locked, migration)
    saga.version = definition.version
    saga.steps_total = len(locked.steps)
    Saga.objects.filter(pk=saga.pk).update(version=saga.version, steps_total=saga.steps_total)


def _carry_over(locked: Locked, migration: Migration) -> None:
    stage_of = locked.definition.outline().stage_of
    for old, new in migration.renamed.items():
        if old in locked.steps:
            step = locked.steps.pop(old)
            step.name = new
            locked.steps[new] = step
            SagaStep.objects.filter(pk=step.pk).update(name=new)
    for name in migration.removed:
        # One that was begun stays, and the saga halts: what it did would not be undone.
        if name in locked.steps and locked.steps[name].status in _NOT_BEGUN:
            SagaStep.objects.filter(pk=locked.steps.pop(name).pk).delete()
    reached = max(
        (
            stage_of[name]
            for name, step in locked.steps.items()
            if name in stage_of and step.status not in _NOT_BEGUN
        ),
        default=-1,
    )
    for name in migration.added:
        if name in locked.steps or name not in stage_of:
            continue
        step = new_step(locked.saga, locked.definition.outline().steps[name], stage_of[name])
        passed = stage_of[name] < reached or locked.direction is Direction.BACK
        if passed:
            step.skip(now=locked.now)
        step.save(force_insert=True)
        locked.steps[name] = step
    order = {name: number for number, name in enumerate(stage_of)}
    for name, step in locked.steps.items():
        if name in stage_of and step.stage != stage_of[name]:
            step.stage = stage_of[name]
            SagaStep.objects.filter(pk=step.pk).update(stage=step.stage)
    locked.steps = dict(sorted(locked.steps.items(), key=lambda item: order.get(item[0], len(order))))
