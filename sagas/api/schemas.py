"""What a definition's input looks like, as JSON Schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

Schema = dict[str, Any]

FORMATS: list[tuple[type[serializers.Field[Any, Any, Any, Any]], Schema]] = [
    (serializers.BooleanField, {"type": "boolean"}),
    (serializers.IntegerField, {"type": "integer"}),
    (serializers.FloatField, {"type": "number"}),
    (serializers.DecimalField, {"type": "string", "format": "decimal"}),
    (serializers.UUIDField, {"type": "string", "format": "uuid"}),
    (serializers.EmailField, {"type": "string", "format": "email"}),
    (serializers.URLField, {"type": "string", "format": "uri"}),
    (serializers.SlugField, {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$"}),
    (serializers.CharField, {"type": "string"}),
    (serializers.DateTimeField, {"type": "string", "format": "date-time"}),
    (serializers.DateField, {"type": "string", "format": "date"}),
    (serializers.TimeField, {"type": "string", "format": "time"}),
    (serializers.DurationField, {"type": "string"}),
]
LIMITS = {
    "max_length": "maxLength",
    "min_length": "minLength",
    "max_value": "maximum",
    "min_value": "minimum",
}


def input_schema(serializer: type[Any] | None) -> Schema:
    """Return the JSON Schema of what a serializer takes. What it cannot know says nothing."""
    return {"type": "object"} if serializer is None else _object(serializer())


def _object(serializer: Any) -> Schema:
    fields = {name: field for name, field in serializer.fields.items() if not field.read_only}
    schema: Schema = {
        "type": "object",
        "properties": {name: _schema(field) for name, field in fields.items()},
        "additionalProperties": False,
    }
    if required := [name for name, field in fields.items() if field.required]:
        schema["required"] = required
    return schema


def _schema(field: Any) -> Schema:
    schema = _of_kind(field)
    if field.help_text:
        schema["description"] = str(field.help_text)
    default = field.default
    if isinstance(default, str | int | float):
        schema["default"] = default
    if field.allow_null and "type" in schema:
        schema["type"] = [schema["type"], "null"]
    return schema


def _of_kind(field: Any) -> Schema:
    if isinstance(field, serializers.ListSerializer):
        return _array(field, _object(field.child))
    if isinstance(field, serializers.Serializer):
        return _object(field)
    if isinstance(field, serializers.ListField):
        return _array(field, _schema(field.child))
    if isinstance(field, serializers.ChoiceField):
        choices = list(field.choices)
        kind = {"type": "string"} if all(isinstance(choice, str) for choice in choices) else {}
        return kind | {"enum": choices}
    if isinstance(field, serializers.DictField):
        return {"type": "object"}
    schema = next((dict(found) for kind, found in FORMATS if isinstance(field, kind)), {})
    if "type" not in schema or isinstance(field, serializers.DecimalField):
        return schema
    for option, keyword in LIMITS.items():
        if isinstance(limit := getattr(field, option, None), int | float):
            schema[keyword] = limit
    if isinstance(field, serializers.CharField) and not field.allow_blank:
        schema.setdefault("minLength", 1)
    return schema


def _array(field: Any, items: Schema) -> Schema:
    schema: Schema = {"type": "array", "items": items}
    least = field.min_length or (0 if field.allow_empty else 1)
    return schema | ({"minItems": least} if least else {})
