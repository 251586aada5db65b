"""Elements that are sagas of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from sagas.definitions.context import StepContext
from sagas.definitions.elements import TURN_BACK, AnyFunction, Element, TimedOut
from sagas.states import Call, Direction, StepKind

if TYPE_CHECKING:
    from sagas.definitions.definition import SagaDefinition

Input: TypeAlias = Mapping[str, Any]
InputFunction: TypeAlias = Callable[[StepContext], Input] | Callable[[StepContext], Awaitable[Input]]
InputsFunction: TypeAlias = (
    Callable[[StepContext], Iterable[Input]] | Callable[[StepContext], Awaitable[Iterable[Input]]]
)


@dataclass(frozen=True)
class SubSaga(Element):
    """Another saga as a step of this one: started, awaited, and compensated on the way back.

    Its result holds the child's id and the results of the child's steps by name.
    """

    kind = StepKind.SAGA

    definition: type[SagaDefinition]
    _: KW_ONLY
    input: InputFunction

    def __post_init__(self) -> None:
        _name_after(self, self.definition)

    @property
    def is_undoable(self) -> bool:
        """Whether the way back has something to do here."""
        return self.definition.undo_after_completion

    def _function(self, direction: Direction, call: Call) -> AnyFunction | None:
        return self.when if call is Call.CONDITION else self.input


@dataclass(frozen=True)
class SubSagas(Element):
    """Many sagas of one definition as a step of this one; the result is how many ended in which way."""

    kind = StepKind.SAGAS

    definition: type[SagaDefinition]
    _: KW_ONLY
    inputs: InputsFunction
    on_failed: TimedOut = TURN_BACK
    """What follows when a child did not complete: undo the others, or go on with the rest."""

    def __post_init__(self) -> None:
        _name_after(self, self.definition)

    @property
    def is_undoable(self) -> bool:
        """Whether the way back has something to do here."""
        return self.definition.undo_after_completion

    def _function(self, direction: Direction, call: Call) -> AnyFunction | None:
        return self.when if call is Call.CONDITION else self.inputs


def _name_after(element: Element, definition: type[SagaDefinition]) -> None:
    if not element.name:
        object.__setattr__(element, "name", definition.name.rpartition(".")[2])
