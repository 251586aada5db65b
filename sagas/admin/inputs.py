"""A form drawn from a definition's input: what its serializer asks for, in the admin's widgets.

The form only takes the values apart; whether they are right is the serializer's to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from sagas.definitions import SagaDefinition
from sagas.redaction import HIDDEN

PREFIX = "input"
NUMBERS: dict[type[Any], type[forms.IntegerField]] = {
    serializers.IntegerField: forms.IntegerField,
    serializers.FloatField: forms.FloatField,
    serializers.DecimalField: forms.DecimalField,
}
TEXTS: dict[type[Any], tuple[type[forms.Field], forms.Widget]] = {
    serializers.UUIDField: (forms.UUIDField, forms.TextInput({"size": 40})),
    serializers.EmailField: (forms.EmailField, forms.EmailInput({"size": 40})),
    serializers.URLField: (forms.CharField, forms.URLInput({"size": 60})),
    serializers.DateTimeField: (forms.DateTimeField, forms.DateTimeInput({"type": "datetime-local"})),
    serializers.DateField: (forms.DateField, forms.DateInput({"type": "date"})),
    serializers.TimeField: (forms.TimeField, forms.TimeInput({"type": "time"})),
    serializers.CharField: (forms.CharField, forms.TextInput({"size": 60})),
}
"""In this order: some are kinds of the others."""


class JSONField(forms.JSONField):
    """JSON, laid out to be read; nothing is shown where there is no value yet."""

    def prepare_value(self, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False, indent=2)


class InputForm(forms.Form):
    """The input of a saga, field by field."""

    @classmethod
    def of(
        cls,
        definition: type[SagaDefinition],
        data: Mapping[str, Any] | None = None,
        *,
        now: Mapping[str, Any] | None = None,
    ) -> InputForm:
        """Draw the form, with the values as they are `now`; what is hidden in them is left out."""
        form = cls(data, prefix=PREFIX, initial=dict(now or {}))
        for name, field in _fields(definition).items():
            value = now.get(name) if now is not None else None
            if HIDDEN not in json.dumps(value):
                form.fields[name] = _drawn(field)
                if value not in (None, "") and not (field.allow_null or getattr(field, "allow_blank", False)):
                    form.fields[name].required = not isinstance(form.fields[name], forms.BooleanField)
        return form

    def values(self) -> dict[str, Any]:
        """Return what was filled in, as JSON."""
        filled = {name: _plain(value) for name, value in self.cleaned_data.items()}
        return {
            name: value for name, value in filled.items() if value not in (None, "") or name in self.initial
        }

    def changes(self) -> dict[str, Any]:
        """Return what was changed."""
        now = {name: _plain(self.cleaned_data[name]) for name in self.changed_data}
        return {name: value for name, value in now.items() if value != self.initial.get(name)}

    def refuse(self, errors: Mapping[str, Sequence[str]]) -> None:
        """Show what was found to be wrong, each at its field."""
        for name, sentences in errors.items():
            self.add_error(name if name in self.fields else None, list(sentences))


def _fields(definition: type[SagaDefinition]) -> dict[str, Any]:
    if definition.input is None:
        return {}
    fields = definition.input().fields
    return {
        name: field
        for name, field in fields.items()
        if not field.read_only and not isinstance(field, serializers.HiddenField)
    }


def _drawn(field: Any) -> forms.Field:
    options: dict[str, Any] = {
        "label": capfirst(str(field.label or field.field_name.replace("_", " "))),
        "help_text": field.help_text or "",
        "required": field.required,
    }
    if field.default is not serializers.empty and not callable(field.default):
        options["initial"] = field.default
    match field:
        case serializers.BooleanField():
            return forms.BooleanField(**options | {"required": False})
        case serializers.MultipleChoiceField():
            return forms.MultipleChoiceField(choices=list(field.choices.items()), **options)
        case serializers.ChoiceField():
            blank = [] if field.required or "initial" in options else [("", "–")]
            return forms.ChoiceField(choices=[*blank, *field.choices.items()], **options)
    for kind, number in NUMBERS.items():
        if isinstance(field, kind):
            return number(min_value=field.min_value, max_value=field.max_value, **options)
    for kind, (text, widget) in TEXTS.items():
        if isinstance(field, kind):
            return text(widget=widget, **options)
    options["help_text"] = options["help_text"] or _("As JSON.")
    return JSONField(widget=forms.Textarea({"rows": 6, "class": "saga-json"}), **options)


def _plain(value: Any) -> Any:
    match value:
        case Decimal() | UUID():
            return str(value)
        case date() | time():
            return value.isoformat()
        case _:
            return value
