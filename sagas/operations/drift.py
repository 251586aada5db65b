"""Which live sagas the code at hand would halt, or cannot run: to be asked before it is deployed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from sagas.definitions import registry
from sagas.engine.locked import Locked, look_at_many
from sagas.engine.steering import drifted
from sagas.engine.upgrades import carry_over
from sagas.models import Saga
from sagas.states import LIVE, SagaKind

AT_ONCE = 500


@dataclass
class Drift:
    """Sagas of one version of a definition that do not fit the code, all for one reason."""

    definition: str
    version: int
    why: str
    steps: tuple[str, ...]
    """Which of their steps the code does not have, or has as another kind, or cannot undo."""
    sagas: int
    example: UUID


def drifts(definition: str | None = None) -> list[Drift]:
    """Compare the live sagas with the definitions of this process, after their migrations."""
    found: dict[tuple[str, int, str], Drift] = {}
    for locked in _live(definition):
        saga = locked.saga
        name, version = saga.definition, saga.version
        if (reason := _reason(locked)) is None:
            continue
        why, steps = reason
        drift = found.setdefault((name, version, why), Drift(name, version, why, steps, 0, saga.pk))
        drift.sagas += 1
    return [found[key] for key in sorted(found)]


def _live(definition: str | None) -> Iterator[Locked]:
    sagas = Saga.objects.filter(status__in=LIVE, kind=SagaKind.ORCHESTRATION).order_by("pk")
    if definition is not None:
        sagas = sagas.filter(definition=definition)
    some = look_at_many(sagas[:AT_ONCE])
    while some:
        yield from some
        some = look_at_many(sagas.filter(pk__gt=some[-1].saga.pk)[:AT_ONCE])


def _reason(locked: Locked) -> tuple[str, tuple[str, ...]] | None:
    saga = locked.saga
    if saga.definition not in registry:
        return "no installed app has this definition: they wait for code that has it", ()
    present = locked.definition.version
    if saga.version > present:
        return f"the code has version {present}: they wait for code that has theirs", ()
    carry_over(locked)
    steps = tuple(sorted(drifted(locked)))
    if not steps:
        return None
    return f"version {present} no longer has, or no longer undoes, {', '.join(steps)}: they would halt", steps
