"""What a saga may be started with, as its definition's serializer says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.utils.functional import Promise
from rest_framework.exceptions import ValidationError
from rest_framework.serializers import BaseSerializer, as_serializer_error

from sagas.canonical import gate
from sagas.definitions import SagaDefinition
from sagas.exceptions import InputRefused, NotStorable


def validated(definition: type[SagaDefinition], input: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input as it is stored: JSON primitives only. Raises `InputRefused` and `NotStorable`."""
    [stored] = validated_each(definition, [input])
    return stored


def validated_each(
    definition: type[SagaDefinition], inputs: Iterable[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield each input as `validated` returns it.

    One serializer looks at all of them, as a list's does: to make one takes longer than to ask it.
    """
    assert definition.input is not None
    serializer = definition.input(data={})
    known = set(serializer.fields)
    for input in inputs:
        try:
            stored = _validated(definition, serializer, known, input)
        except RecursionError:
            raise NotStorable(
                f"The input of {definition.name} cannot be stored: it is nested too deeply. Flatten it."
            ) from None
        yield stored


def _validated(
    definition: type[SagaDefinition],
    serializer: BaseSerializer[Any],
    known: set[str],
    input: Mapping[str, Any],
) -> dict[str, Any]:
    if unknown := sorted(str(name) for name in input if name not in known):
        raise InputRefused(
            f"{definition.name} was not started: its input has no field {', '.join(map(repr, unknown))}. "
            f"It takes {', '.join(sorted(known))}.",
            {name: ["This field is not known."] for name in unknown},
        )
    serializer.initial_data = input  # Where validators look for the other fields.
    try:
        value = serializer.run_validation(input)
    except ValidationError as error:
        detail = as_serializer_error(error)
        errors = {field: [str(message) for message in _flat(found)] for field, found in detail.items()}
        told = "; ".join(f"{field}: {' '.join(messages)}" for field, messages in errors.items())
        raise InputRefused(
            f"{definition.name} was not started: its input is refused. {told}", errors
        ) from None
    shown = serializer.to_representation(value)
    stored: dict[str, Any] = gate(_plain(shown), f"The input of {definition.name}")
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
