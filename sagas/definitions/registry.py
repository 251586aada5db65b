"""The definitions of the installed apps, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from sagas.definitions.definition import SagaDefinition
from sagas.exceptions import UnknownDefinition

D = TypeVar("D", bound=type[SagaDefinition])


class Registry(Mapping[str, type[SagaDefinition]]):
    """A mapping of names to definitions that also remembers who wanted a name that was taken."""

    def __init__(self) -> None:
        self._definitions: dict[str, type[SagaDefinition]] = {}
        self.clashes: list[type[SagaDefinition]] = []

    def add(self, definition: type[SagaDefinition]) -> None:
        """Register a definition; a second one of the same name is kept for the checks to report."""
        known = self._definitions.setdefault(definition.name, definition)
        # A reloaded module defines the same class anew: the newer one counts.
        if (known.__module__, known.__qualname__) == (definition.__module__, definition.__qualname__):
            self._definitions[definition.name] = definition
        else:
            self.clashes.append(definition)

    def remove(self, definition: type[SagaDefinition]) -> None:
        """Forget a definition, as tests do that define their own."""
        if self._definitions.get(definition.name) is definition:
            del self._definitions[definition.name]
        if definition in self.clashes:
            self.clashes.remove(definition)

    def named(self, name: str) -> type[SagaDefinition]:
        """Return the definition of this name, or raise `UnknownDefinition`."""
        try:
            return self._definitions[name]
        except KeyError:
            known = ", ".join(sorted(self._definitions)) or "none"
            raise UnknownDefinition(
                f"There is no saga definition {name!r}. Registered are: {known}. Definitions are found in "
                "the `sagas` module of every installed app."
            ) from None

    def __getitem__(self, name: str) -> type[SagaDefinition]:
        return self._definitions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._definitions)

    def __len__(self) -> int:
        return len(self._definitions)


registry = Registry()


def register(definition: D) -> D:
    """Make a definition known under its name, as a class decorator in an app's `sagas` module."""
    registry.add(definition)
    return definition


def holdable() -> dict[str, set[str]]:
    """Return what can be held: the names that the code knows, by what they name."""
    steps = [step for definition in registry.values() for step in definition.outline().steps.values()]
    return {
        "definition": set(registry),
        "participant": {step.participant.name for step in steps if step.participant is not None},
    }
