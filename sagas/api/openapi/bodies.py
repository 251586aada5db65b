"""Bodies whose schema is made of what the code declares, and fields of a kind of their own."""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.extensions import (
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)

from sagas.api.operating import MOST_OF_A_REASON
from sagas.api.schemas import input_schema
from sagas.definitions import holdable, registry
from sagas.keys import MAX_KEY


def _start_schema() -> dict[str, Any]:
    """Return the schema of a start: each definition has its own input."""
    return {
        "type": "object",
        "required": ["definition", "input"],
        "properties": {
            "definition": {"type": "string"},
            "input": {"type": "object"},
            "key": {"type": "string", "description": "Where the definition makes none itself."},
        },
        "oneOf": [_start_of(name) for name in sorted(registry)] or [{}],
    }


def _start_of(name: str) -> dict[str, Any]:
    definition = registry[name]
    properties: dict[str, Any] = {
        "definition": {"type": "string", "enum": [name]},
        "input": input_schema(definition.input),
    }
    if definition.key is None:
        properties["key"] = {"type": "string", "minLength": 1, "maxLength": MAX_KEY}
    return {
        "title": name,
        "type": "object",
        "required": ["definition", "input"],
        "properties": properties,
        "additionalProperties": False,
    }


def hold_schema() -> dict[str, Any]:
    """Return the schema of a hold: of one definition or one participant that the code knows."""
    more = {
        "reason": {"type": "string", "maxLength": MOST_OF_A_REASON},
        "until": {"type": "string", "format": "date-time"},
    }
    return {
        "oneOf": [
            {
                "type": "object",
                "required": [kind],
                "properties": {kind: {"type": "string", "enum": sorted(names)}, **more},
                "additionalProperties": False,
            }
            for kind, names in holdable().items()
            if names
        ]
    }


class Start(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """What each definition is started with."""

    target_class = "sagas.api.serializers.StartSerializer"
    priority = 1

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return _start_schema()


class Strict(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Bodies take no other fields."""

    target_class = "sagas.api.serializers.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return schema | {"additionalProperties": False}


class NewBatch(Strict):  # type: ignore[no-untyped-call]
    """A batch is of ids or of what a filter finds."""

    target_class = "sagas.api.batches.NewBatchSerializer"
    match_subclasses = False
    priority = 1

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        one_of = [{"required": ["ids"]}, {"required": ["filter"]}]
        return super().map_serializer(auto_schema, direction) | {"oneOf": one_of}


class CommaSeparated(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Several values in one parameter."""

    target_class = "sagas.api.fields.CommaSeparatedField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        one = f"({'|'.join(map(re.escape, self.target.child.choices))})"
        return {"type": "string", "pattern": f"^{one}(,{one})*$"}
