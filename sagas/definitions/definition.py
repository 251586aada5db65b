"""A saga's recipe, and its outline: the steps by stage and by name."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property
from typing import Any, ClassVar, Final

from sagas.definitions.elements import COMPENSATE, Element, Exhausted, Parallel
from sagas.definitions.migration import Migration
from sagas.states import StepKind


class OnLocked(enum.Enum):
    """What a new saga does about a semantic lock that another one holds."""

    QUEUE = "queue"
    """Wait for its turn."""
    REFUSE = "refuse"
    """Not begin at all: `start` raises `LockHeld`."""


QUEUE: Final = OnLocked.QUEUE
REFUSE: Final = OnLocked.REFUSE


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
    deadline: ClassVar[timedelta | None] = None
    """How long after its start the saga turns back if it has not passed its pivot."""
    locks: ClassVar[Sequence[str]] = ()
    """Semantic locks as templates over the input, held from the first step to the end."""
    on_locked: ClassVar[OnLocked] = QUEUE
    on_exhausted: ClassVar[Exhausted] = COMPENSATE
    """What follows when a step's attempts are used up before the pivot."""
    undo_after_completion: ClassVar[bool] = False
    """Whether a completed saga may still be compensated."""
    max_running: ClassVar[int | None] = None
    """Sagas of this definition begun and not ended, at most; the others wait."""
    start_permission: ClassVar[str] = "sagas.start_saga"
    """What a user needs to start one."""
    sensitive: ClassVar[Sequence[str]] = ()
    """Fields of input and results that are shown only to those who may see payloads."""
    migrations: ClassVar[Mapping[int, Migration]] = {}
    """What changed after each older version, so that sagas begun under it go on under this one."""
    steps: ClassVar[Sequence[Element | Parallel]] = ()

    @classmethod
    @cache
    def outline(cls) -> Outline:
        """Return the steps by stage and name, worked out once."""
        return Outline.of(cls.steps)


@dataclass(frozen=True)
class Outline:
    """Stages in order; the steps of a stage run side by side."""

    stages: tuple[tuple[Element, ...], ...]

    @classmethod
    def of(cls, elements: Sequence[Element | Parallel]) -> Outline:
        """Lay the elements of a definition out in stages."""
        return cls(
            tuple(element.elements if isinstance(element, Parallel) else (element,) for element in elements)
        )

    @cached_property
    def steps(self) -> dict[str, Element]:
        """Every step by name, in order."""
        return {step.name: step for stage in self.stages for step in stage}

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the steps."""
        return frozenset(self.steps)

    @cached_property
    def is_plain(self) -> bool:
        """Whether every element is a step: nothing waits for what others tell."""
        return all(step.kind is StepKind.STEP for step in self.steps.values())

    @cached_property
    def stage_of(self) -> dict[str, int]:
        """Each step's stage, counted from 0."""
        return {step.name: number for number, stage in enumerate(self.stages) for step in stage}

    @cached_property
    def pivot_stage(self) -> int | None:
        """The stage of the pivot, or None where every step can be undone."""
        return next((self.stage_of[step.name] for step in self.steps.values() if step.pivot), None)

    def only(self, names: Set[str]) -> Outline:
        """Return the outline of a saga that has just these steps, as one of an earlier version may."""
        return self if self.names <= names else _reduced(self, frozenset(names))


@cache
def _reduced(outline: Outline, names: frozenset[str]) -> Outline:
    stages = (tuple(step for step in stage if step.name in names) for stage in outline.stages)
    return Outline(tuple(stage for stage in stages if stage))
