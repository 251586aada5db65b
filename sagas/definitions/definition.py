"""A saga's recipe, and its outline: the steps by stage and by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar

from sagas.definitions.elements import COMPENSATE, Exhausted, Parallel, Step


class SagaDefinition:
    """A business transaction over several participants, as a list of steps with their compensations.

    Subclass it, say `name` and `steps`, and `register` it. Instances are never made.
    """

    name: ClassVar[str] = ""
    """Stored with every saga: ``app.verb_object``. Never renamed."""
    version: ClassVar[int] = 1
    """Raised when steps are added, removed or renamed."""
    input: ClassVar[type[Any] | None] = None
    """A Django REST framework serializer class: validates, documents and draws the start form."""
    key: ClassVar[str | None] = None
    """Business key as a template over the input, ``order:{order_id}``: one live saga per key."""
    on_exhausted: ClassVar[Exhausted] = COMPENSATE
    """What follows when a step's attempts are used up before the pivot."""
    start_permission: ClassVar[str] = "sagas.start_saga"
    """What a user needs to start one."""
    steps: ClassVar[Sequence[Step | Parallel]] = ()

    @classmethod
    @cache
    def outline(cls) -> Outline:
        """Return the steps by stage and name, worked out once."""
        return Outline.of(cls.steps)


@dataclass(frozen=True)
class Outline:
    """Stages in order; the steps of a stage run side by side."""

    stages: tuple[tuple[Step, ...], ...]

    @classmethod
    def of(cls, elements: Sequence[Step | Parallel]) -> Outline:
        """Lay the elements of a definition out in stages."""
        return cls(
            tuple(element.elements if isinstance(element, Parallel) else (element,) for element in elements)
        )

    @cached_property
    def steps(self) -> dict[str, Step]:
        """Every step by name, in order."""
        return {step.name: step for stage in self.stages for step in stage}

    @cached_property
    def stage_of(self) -> dict[str, int]:
        """Each step's stage, counted from 0."""
        return {step.name: number for number, stage in enumerate(self.stages) for step in stage}

    @cached_property
    def pivot_stage(self) -> int | None:
        """The stage of the pivot, or None where every step can be undone."""
        return next((self.stage_of[step.name] for step in self.steps.values() if step.pivot), None)

    def only(self, names: frozenset[str]) -> Outline:
        """Return the outline of a saga that has just these steps, as one of an earlier version may."""
        return self if names >= self.steps.keys() else _reduced(self, names)


@cache
def _reduced(outline: Outline, names: frozenset[str]) -> Outline:
    stages = (tuple(step for step in stage if step.name in names) for stage in outline.stages)
    return Outline(tuple(stage for stage in stages if stage))
