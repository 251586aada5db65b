"""Bodies: what comes in is checked to the last field, what goes out is named field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, TypeAlias

from django.db import models
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.reverse import reverse

from sagas.api.fields import IdField, TextField, UtcDateTimeField
from sagas.keys import MAX_KEY
from sagas.models import HistoryEntry, Hold, Saga, SagaBatch, SagaBatchItem, SagaStep
from sagas.operations.privacy import Shown
from sagas.redaction import redacted

Reader: TypeAlias = Callable[[Any, Any], Any]
"""Takes a serializer and a row, and returns what the body says of a field."""

AS_THEY_ARE = (
    serializers.CharField,
    serializers.IntegerField,
    serializers.BooleanField,
    serializers.ChoiceField,
    serializers.JSONField,
    serializers.DictField,
)


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know: a misspelt one would else be passed over in silence."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := [name for name in data if name not in self.fields]):
            known = ", ".join(self.fields) or _("none")
            text = _("There is no such field. The fields are %(known)s.") % {"known": known}
            raise serializers.ValidationError(
                {str(name): [serializers.ErrorDetail(text, code="unknown_field")] for name in unknown}
            )
        return super().to_internal_value(data)


class RowSerializer(serializers.ModelSerializer[Any]):
    """A row of ours, to be read.

    How a field is read is worked out once for a class. Django REST framework builds and binds all fields
    anew for each answer, which takes longer than everything else in it.
    """

    serializer_field_mapping = serializers.ModelSerializer.serializer_field_mapping | {
        models.DateTimeField: UtcDateTimeField
    }

    data_fields: frozenset[str] = frozenset()
    """What may hold something sensitive. The context's `shown` says what the reader is shown of it."""

    def to_representation(self, instance: Any) -> dict[str, Any]:
        body = {name: read(self, instance) for name, read in _readers(type(self))}
        if self.data_fields:
            shown: Shown = self.context.get("shown", redacted)
            body |= {name: shown(body[name]) for name in self.data_fields}
        return body


@cache
def _readers(of: type[RowSerializer]) -> tuple[tuple[str, Reader], ...]:
    return tuple((name, _reader(field)) for name, field in of().fields.items())


def _reader(field: serializers.Field[Any, Any, Any, Any]) -> Reader:
    if isinstance(field, serializers.SerializerMethodField):
        method = field.method_name or f"get_{field.field_name}"
        return lambda serializer, row: getattr(serializer, method)(row)
    get = attrgetter(str(field.source))
    if isinstance(field, AS_THEY_ARE):
        return lambda serializer, row: get(row)
    represent = field.to_representation
    return lambda serializer, row: None if (value := get(row)) is None else represent(value)


class StartSerializer(StrictSerializer):
    """A saga to be started."""

    definition = TextField(max_length=100)
    input = serializers.DictField()
    key = TextField(
        max_length=MAX_KEY,
        trim_whitespace=False,
        required=False,
        help_text="The business key, where the definition makes none itself.",
    )


class EventSerializer(StrictSerializer):
    """Something that happened elsewhere and that a saga waits for."""

    id = IdField(help_text="The sender's: the same event sent again has no further effect.")
    topic = TextField(max_length=100)
    data = serializers.DictField(default=dict)  # type: ignore[assignment]


class HistorySerializer(RowSerializer):
    """One thing that happened to a saga. `seq` counts upwards over all sagas."""

    seq = serializers.IntegerField(source="id", read_only=True)
    data_fields = frozenset({"data"})

    class Meta:
        model = HistoryEntry
        fields = (
            "seq",
            "at",
            "kind",
            "actor_kind",
            "actor",
            "operation",
            "reason",
            "from_status",
            "to_status",
            "step",
            "direction",
            "attempt",
            "data",
        )


class StepSerializer(RowSerializer):
    """A step of a saga."""

    result = serializers.DictField(read_only=True, allow_null=True)
    data_fields = frozenset({"result"})

    class Meta:
        model = SagaStep
        fields: tuple[str, ...] = (
            "name",
            "stage",
            "kind",
            "status",
            "waits_for",
            "waits_on",
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


class StepWithAttemptsSerializer(StepSerializer):
    """A step of a saga, and what is told of its attempts: those that simply succeeded leave no entry."""

    history = serializers.SerializerMethodField()

    class Meta(StepSerializer.Meta):
        fields = (*StepSerializer.Meta.fields, "history")

    def get_history(self, step: SagaStep) -> list[dict[str, Any]]:
        """Return the entries of the step, in their order."""
        told: Mapping[str, list[dict[str, Any]]] = self.context["history"]
        return told.get(step.name, [])


class SagaSerializer(RowSerializer):
    """A saga in a list. Only what the revision counts: a lease that is renewed changes nothing here."""

    url = serializers.SerializerMethodField()

    class Meta:
        model = Saga
        fields: tuple[str, ...] = (
            "id",
            "url",
            "kind",
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
            "parent",
            "continues",
            "restarted_from",
            "correlation_id",
            "started_by",
            "created_at",
            "updated_at",
            "ended_at",
        )

    parent = serializers.UUIDField(source="parent_id", read_only=True, allow_null=True)  # type: ignore[assignment]
    continues = serializers.UUIDField(source="continues_id", read_only=True, allow_null=True)
    restarted_from = serializers.UUIDField(source="restarted_from_id", read_only=True, allow_null=True)

    def get_url(self, saga: Saga) -> str:
        """Return the address of the saga."""
        return str(reverse("saga-detail", args=[saga.pk], request=self.context["request"]))


class SagaDetailSerializer(SagaSerializer):
    """A saga by itself, with its input."""

    data_fields = frozenset({"input"})

    class Meta(SagaSerializer.Meta):
        fields = (*SagaSerializer.Meta.fields, "input")


class ExpandedSagaSerializer(SagaDetailSerializer):
    """A saga by itself, with its input and its steps."""

    steps = serializers.SerializerMethodField()

    class Meta(SagaDetailSerializer.Meta):
        fields = (*SagaDetailSerializer.Meta.fields, "steps")

    def get_steps(self, saga: Saga) -> list[dict[str, Any]]:
        """Return the steps, in their order."""
        of_step = StepSerializer(context=self.context)
        return [of_step.to_representation(step) for step in saga.steps.all()]


class HoldSerializer(RowSerializer):
    """A hold in force."""

    class Meta:
        model = Hold
        fields = ("id", "definition", "participant", "by", "reason", "at", "until")


class NewHoldSerializer(StrictSerializer):
    """A definition or a participant to be held."""

    definition = TextField(max_length=100, required=False)
    participant = TextField(max_length=100, required=False)
    reason = TextField(max_length=1000, allow_blank=True, default="")
    until = serializers.DateTimeField(required=False)


class BatchSerializer(RowSerializer):
    """A batch in a list. `requested`, `skipped`, `refused` and `left` add up to `total`."""

    url = serializers.SerializerMethodField()
    left = serializers.IntegerField(read_only=True)
    selection = serializers.DictField(read_only=True)
    arguments = serializers.DictField(read_only=True)

    class Meta:
        model = SagaBatch
        fields: tuple[str, ...] = (
            "id",
            "url",
            "operation",
            "arguments",
            "reason",
            "actor_kind",
            "actor",
            "selection",
            "cutoff_at",
            "status",
            "rate",
            "total",
            "requested",
            "skipped",
            "refused",
            "left",
            "created_at",
            "started_at",
            "ended_at",
        )

    def get_url(self, batch: SagaBatch) -> str:
        """Return the address of the batch."""
        return str(reverse("saga-batch-detail", args=[batch.pk], request=self.context["request"]))


class BatchItemSerializer(RowSerializer):
    """A saga of a batch, as it stood when it was chosen, and what came of it."""

    saga = serializers.UUIDField(source="saga_id", read_only=True)

    class Meta:
        model = SagaBatchItem
        fields = ("saga", "status", "revision", "state", "message", "at")
