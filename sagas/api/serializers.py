"""Bodies: what comes in is checked to the last field, what goes out is named field by field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from django.db import models
from django.utils.translation import gettext as _
from rest_framework import serializers

from sagas.keys import MAX_KEY
from sagas.models import Saga, SagaStep


class UtcDateTimeField(serializers.DateTimeField):
    """A time as every client reads it, whatever the server's time zone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"default_timezone": UTC} | options)


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know: a misspelt one would else be passed over in silence."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := [name for name in data if name not in self.fields]):
            known = ", ".join(self.fields)
            text = _("There is no such field. The fields are %(known)s.") % {"known": known}
            raise serializers.ValidationError(
                {str(name): [serializers.ErrorDetail(text, code="unknown_field")] for name in unknown}
            )
        return super().to_internal_value(data)


class StartSerializer(StrictSerializer):
    """A saga to be started."""

    definition = serializers.CharField()
    input = serializers.DictField()
    key = serializers.CharField(max_length=MAX_KEY, trim_whitespace=False, required=False)


class OperationSerializer(StrictSerializer):
    """An operation that is asked for."""

    reason = serializers.CharField(max_length=1000, allow_blank=True, default="")


class RowSerializer(serializers.ModelSerializer[Any]):
    """A row of ours."""

    serializer_field_mapping = serializers.ModelSerializer.serializer_field_mapping | {
        models.DateTimeField: UtcDateTimeField
    }


class StepSerializer(RowSerializer):
    """A step of a saga."""

    class Meta:
        model = SagaStep
        fields = (
            "name",
            "stage",
            "status",
            "waits_for",
            "in_doubt",
            "attempts",
            "crashes",
            "undo_attempts",
            "undo_crashes",
            "due_at",
            "result",
            "error_class",
            "error",
            "idempotency_key",
            "undo_key",
            "started_at",
            "ended_at",
            "undo_started_at",
            "undo_ended_at",
        )


class SagaSerializer(RowSerializer):
    """A saga in a list. Only what the revision counts: a lease that is renewed changes nothing here."""

    url = serializers.HyperlinkedIdentityField(view_name="saga-detail")

    class Meta:
        model = Saga
        fields: tuple[str, ...] = (
            "id",
            "url",
            "definition",
            "version",
            "key",
            "status",
            "direction",
            "attention",
            "steps_done",
            "steps_total",
            "current_step",
            "error_class",
            "error",
            "revision",
            "correlation_id",
            "started_by",
            "created_at",
            "updated_at",
            "ended_at",
        )


class SagaDetailSerializer(SagaSerializer):
    """A saga by itself, with its input and its steps."""

    steps = StepSerializer(many=True, read_only=True)

    class Meta(SagaSerializer.Meta):
        fields = (*SagaSerializer.Meta.fields, "input", "steps")
