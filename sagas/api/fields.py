"""Fields that Django REST framework does not have."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ParseError

from sagas.api.parsers import read_json
from sagas.canonical import gate
from sagas.clock import utc
from sagas.exceptions import NotStorable


class UtcDateTimeField(serializers.DateTimeField):
    """A time as every client reads it, whatever the server's time zone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"default_timezone": UTC} | options)

    def to_representation(self, value: datetime) -> str:
        return utc(value)


class TextField(serializers.CharField):
    """Text, and not a number that Django REST framework would take for one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class IdField(serializers.UUIDField):
    """A UUID as text."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class CommaSeparatedField(serializers.Field[Any, str, str, Any]):
    """Several values of a kind in one parameter, as Django's ``__in`` lookups take them."""

    def __init__(self, child: serializers.Field[Any, Any, Any, Any], **options: Any) -> None:
        self.child = child
        super().__init__(**options)

    def to_internal_value(self, data: str) -> Any:
        return [self.child.run_validation(part) for part in data.split(",")]

    def to_representation(self, value: Iterable[str]) -> str:
        return ",".join(value)


class JSONTextField(serializers.CharField):
    """A JSON object as text, for a query string."""

    def to_internal_value(self, data: Any) -> Any:
        text = super().to_internal_value(data)
        try:
            value = gate(read_json(text), _("The value"))
        except (ParseError, NotStorable) as error:
            raise serializers.ValidationError(str(error), code="invalid") from error
        if not isinstance(value, dict):
            raise serializers.ValidationError(_("This is no JSON object."), code="invalid")
        return value

    def to_representation(self, value: Any) -> str:
        return json.dumps(value)
