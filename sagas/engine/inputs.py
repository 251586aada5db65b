"""What a saga may be started with, as its definition's serializer says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.functional import Promise

from sagas.canonical import gate
from sagas.definitions import SagaDefinition
from sagas.exceptions import InputRefused, NotStorable


def validated(definition: type[SagaDefinition], input: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input as it is stored: JSON primitives only. Raises `InputRefused` and `NotStorable`."""
    try:
        return _validated(definition, input)
    except RecursionError:
        raise NotStorable(
            f"The input of {definition.name} cannot be stored: it is nested too deeply. Flatten it."
        ) from None


def _validated(definition: type[SagaDefinition], input: Mapping[str, Any]) -> dict[str, Any]:
    assert definition.input is not None
    serializer = definition.input(data=input)
    known = set(serializer.fields)
    if unknown := sorted(str(name) for name in set(input) - known):
        raise InputRefused(
            f"{definition.name} was not started: its input has no field {', '.join(map(repr, unknown))}. "
            f"It takes {', '.join(sorted(known))}.",
            {name: ["This field is not known."] for name in unknown},
        )
    if not serializer.is_valid():
        errors = {
            field: [str(message) for message in _flat(found)] for field, found in serializer.errors.items()
        }
        told = "; ".join(f"{field}: {' '.join(messages)}" for field, messages in errors.items())
        raise InputRefused(f"{definition.name} was not started: its input is refused. {told}", errors)
    stored: dict[str, Any] = gate(_plain(serializer.data), f"The input of {definition.name}")
    return stored


def _flat(found: Any) -> Iterable[Any]:
    if isinstance(found, Mapping):
        for inner in found.values():
            yield from _flat(inner)
    elif isinstance(found, (list, tuple)):
        for inner in found:
            yield from _flat(inner)
    else:
        yield found


def _plain(value: Any) -> Any:
    """Return a serializer's representation as plain JSON types, where it is made of their subclasses."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (str, Promise)):
        return str(value)
    return value
