"""Brings a saga that began under an older version of its definition up to the present one."""

from __future__ import annotations

from collections.abc import Sequence

from sagas.definitions import Migration, registry
from sagas.engine.births import new_step
from sagas.engine.locked import Locked
from sagas.models import Saga, SagaFact, SagaStep
from sagas.states import FAMILY, Direction, SagaKind, StepStatus

_NOT_BEGUN = (StepStatus.PENDING, StepStatus.SKIPPED)


def upgrade(locked: Locked) -> None:
    """Carry the saga over the migrations that its definition names, and store its steps as they then are."""
    if _is_up_to_date(locked):
        return
    before = {step.pk: (step.name, step.stage) for step in locked.steps.values()}
    told = {fact.pk: fact.data.get("step") for fact in locked.facts}
    carry_over(locked)
    saga, steps = locked.saga, list(locked.steps.values())
    SagaStep.objects.filter(pk__in=before.keys() - {step.pk for step in steps}).delete()
    moved = [step for step in steps if step.pk and before[step.pk] != (step.name, step.stage)]
    if {step.name for step in moved} & {name for name, _stage in before.values()}:
        for step in moved:  # One may take another's name.
            SagaStep.objects.filter(pk=step.pk).update(name=f"~{step.pk}")
    for step in moved:
        SagaStep.objects.filter(pk=step.pk).update(name=step.name, stage=step.stage)
    for step in steps:
        if step.pk is None:
            step.save(force_insert=True)
    for fact in locked.facts:
        if fact.data.get("step") != told[fact.pk]:
            SagaFact.objects.filter(pk=fact.pk).update(data=fact.data)
    Saga.objects.filter(pk=saga.pk).update(version=saga.version, steps_total=saga.steps_total)


def upgrade_at_rest(locked: Locked, *, in_memory: bool = False) -> None:
    """Bring a saga that no worker holds up to the version of the code at hand, for what is asked of it."""
    saga = locked.saga
    if saga.held_by is None and saga.kind == SagaKind.ORCHESTRATION and saga.definition in registry:
        carry_over(locked) if in_memory else upgrade(locked)


def carry_over(locked: Locked) -> bool:
    """Do so in memory, version by version; say whether there was anything to do.

    A version without a migration changes nothing: the saga keeps the steps it has.
    """
    if _is_up_to_date(locked):
        return False
    saga, definition = locked.saga, locked.definition
    versions = range(saga.version, definition.version)
    migrations = [definition.migrations[version] for version in versions if version in definition.migrations]
    for number, migration in enumerate(migrations, 1):
        _rename(locked, migration)
        _remove(locked, migration)
        _add(locked, migration, later=migrations[number:])
    stage_of = definition.outline().stage_of
    for name, step in locked.steps.items():
        step.stage = stage_of.get(name, step.stage)
    order = {name: number for number, name in enumerate(stage_of)}
    locked.replace_steps(dict(sorted(locked.steps.items(), key=lambda item: order.get(item[0], len(order)))))
    saga.version, saga.steps_total = definition.version, len(locked.steps)
    return True


def _is_up_to_date(locked: Locked) -> bool:
    definition = locked.definition
    return locked.saga.version >= definition.version or not definition.migrations


def _rename(locked: Locked, migration: Migration) -> None:
    for old, new in migration.renamed.items():
        # Child sagas know their parent's step by its name: one that has any keeps it, and the saga halts.
        if old not in locked.steps or (locked.steps[old].kind in FAMILY and _has_begun(locked.steps[old])):
            continue
        step = locked.steps.pop(old)
        step.name = new
        locked.steps[new] = step
        for fact in locked.facts:
            if fact.data.get("step") == old:
                fact.data = fact.data | {"step": new}


def _remove(locked: Locked, migration: Migration) -> None:
    for name in migration.removed:
        # One that was begun stays, and the saga halts: what it did would not be undone.
        if name in locked.steps and not _has_begun(locked.steps[name]):
            del locked.steps[name]


def _add(locked: Locked, migration: Migration, *, later: Sequence[Migration]) -> None:
    outline = locked.definition.outline()
    stage_of = outline.stage_of
    reached = max(
        (stage_of[name] for name, step in locked.steps.items() if name in stage_of and _has_begun(step)),
        default=-1,
    )
    for added in migration.added:
        name = _present_name(added, later)
        if name in locked.steps or name not in stage_of:
            continue
        step = new_step(locked.saga, outline.steps[name], stage_of[name])
        if stage_of[name] < reached or locked.direction is Direction.BACK:
            step.skip(now=locked.now)
        locked.steps[name] = step


def _present_name(name: str, later: Sequence[Migration]) -> str:
    """Return what a step is called after later versions have renamed it."""
    for migration in later:
        name = migration.renamed.get(name, name)
    return name


def _has_begun(step: SagaStep) -> bool:
    """Say whether anything of a step may have happened; of a pending one too, when it is tried again."""
    return step.status not in _NOT_BEGUN or step.in_doubt
