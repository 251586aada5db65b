"""The shape of bodies that no serializer makes, for the schema and for the tests that compare them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from sagas.api.serializers import BatchSerializer, HistorySerializer, SagaDetailSerializer, StepSerializer
from sagas.states import Direction, SagaStatus, StepKind


class Body(serializers.Serializer[Any]):
    """A body that is sent."""


class FoundSerializer(Body):
    """One thing that is wrong with a request, and where: a pointer into the body, or a parameter."""

    pointer = serializers.CharField(required=False, allow_blank=True)
    parameter = serializers.CharField(required=False)
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(Body):
    """A problem as RFC 9457 has it. Kinds of their own have more members."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    instance = serializers.CharField()
    errors = FoundSerializer(many=True, required=False)  # type: ignore[assignment]


class ShownSagaSerializer(SagaDetailSerializer):
    """A saga by itself, with its steps if they were asked for."""

    steps = StepSerializer(many=True, required=False)

    class Meta(SagaDetailSerializer.Meta):
        fields = (*SagaDetailSerializer.Meta.fields, "steps")


class DefinedStepSerializer(Body):
    """A step of a definition."""

    name = serializers.CharField()
    stage = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=StepKind.choices)
    pivot = serializers.BooleanField()
    undoable = serializers.BooleanField()
    read_only = serializers.BooleanField()  # type: ignore[assignment]
    optional = serializers.BooleanField()
    irrevocable = serializers.CharField(allow_blank=True)
    participant = serializers.CharField(allow_null=True)


class DefinitionSerializer(Body):
    """What can be started, and with which input."""

    name = serializers.CharField()
    version = serializers.IntegerField()
    description = serializers.CharField(allow_blank=True)
    key = serializers.CharField(allow_null=True)
    start_permission = serializers.CharField()
    may_start = serializers.BooleanField()
    steps = DefinedStepSerializer(many=True)
    input_schema = serializers.DictField()
    graph = serializers.CharField()


class HistoryPageSerializer(Body):
    """Entries, and what to ask for next."""

    results = HistorySerializer(many=True)
    next_after = serializers.IntegerField()


class OfferedOperationSerializer(Body):
    """What could be asked of a saga, or why it could not."""

    operation = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    allowed = serializers.BooleanField()
    code = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    arguments = serializers.ListField(child=serializers.CharField())
    preview_url = serializers.CharField()
    url = serializers.CharField()


class RefusalSerializer(Body):
    """Why an operation would be refused."""

    code = serializers.CharField()
    detail = serializers.CharField()


class PlannedSerializer(Body):
    """A call that would be made."""

    step = serializers.CharField()
    direction = serializers.ChoiceField(choices=Direction.choices)
    idempotency_key = serializers.CharField(allow_blank=True)
    attempt = serializers.IntegerField()
    limit = serializers.IntegerField(allow_null=True)
    what = serializers.CharField(allow_blank=True)


class UnundoableSerializer(Body):
    """What the way back would leave as it is."""

    step = serializers.CharField()
    why = serializers.CharField()


class PreviewSerializer(Body):
    """What an operation would do."""

    allowed = serializers.BooleanField()
    operation = serializers.CharField()
    revision = serializers.IntegerField()
    refusal = RefusalSerializer(allow_null=True)
    status = serializers.CharField(allow_blank=True)
    calls = PlannedSerializer(many=True)
    kept = serializers.ListField(child=serializers.CharField())
    cannot_undo = UnundoableSerializer(many=True)
    warnings = serializers.ListField(child=serializers.CharField())


class SampleSerializer(PreviewSerializer):
    """What a batch would do to one of its sagas."""

    saga = serializers.UUIDField()


class BatchGroupSerializer(Body):
    """How many sagas of a kind were chosen, or skipped from the outset."""

    definition = serializers.CharField()
    step = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(choices=SagaStatus.choices)
    skipped = serializers.BooleanField()
    message = serializers.CharField(allow_blank=True)
    number = serializers.IntegerField()


class BatchLogSerializer(Body):
    """Who started, suspended or stopped a batch."""

    act = serializers.ChoiceField(choices=[(act, act) for act in ("start", "resume", "suspend", "stop")])
    by = serializers.CharField(allow_blank=True)
    at = serializers.DateTimeField()


class ShownBatchSerializer(BatchSerializer):
    """A batch by itself."""

    healed = serializers.IntegerField()
    failed_again = serializers.IntegerField()
    groups = BatchGroupSerializer(many=True)
    log = BatchLogSerializer(many=True)
    samples = SampleSerializer(many=True)

    class Meta(BatchSerializer.Meta):
        fields = (*BatchSerializer.Meta.fields, "healed", "failed_again", "groups", "log", "samples")


class BatchPlanSerializer(Body):
    """What a batch would be, and why it would be refused as things are."""

    dry_run = serializers.BooleanField()
    allowed = serializers.BooleanField()
    refusal = RefusalSerializer(allow_null=True)
    operation = serializers.CharField()
    arguments = serializers.DictField()
    selection = serializers.DictField()
    cutoff_at = serializers.DateTimeField()
    rate = serializers.IntegerField()
    total = serializers.IntegerField()
    skipped = serializers.IntegerField()
    groups = BatchGroupSerializer(many=True)
    samples = SampleSerializer(many=True)


class DeliveredSerializer(Body):
    """An event that was taken."""

    id = serializers.UUIDField()
    topic = serializers.CharField()
    already = serializers.BooleanField(required=False)


class PublishedSerializer(Body):
    """An event that was published, and the id by which it is known here."""

    id = serializers.UUIDField()
    type = serializers.CharField()
    already = serializers.BooleanField(required=False)


class ReleasedSerializer(Body):
    """How many sagas waited for the release of a hold."""

    released = serializers.IntegerField()


class CountSerializer(Body):
    """Sagas of one status."""

    count = serializers.IntegerField()
    more = serializers.BooleanField()
    oldest_seconds = serializers.FloatField(allow_null=True)


class CountsSerializer(Body):
    """Sagas by status, and whether they move."""

    at = serializers.DateTimeField()
    sagas = serializers.DictField(child=CountSerializer())
    attention = serializers.IntegerField()
    stuck = serializers.IntegerField()
    oldest_stuck_seconds = serializers.FloatField(allow_null=True)
    dead_letters = serializers.IntegerField()
    oldest_late_event_seconds = serializers.FloatField(allow_null=True)
    workers = serializers.IntegerField()
    holds = serializers.IntegerField()


class HealthDetailsSerializer(Body):
    """What staff are told."""

    database = serializers.CharField()
    overdue = serializers.IntegerField(allow_null=True)


class HealthSerializer(Body):
    """Whether sagas can be started and are moved."""

    status = serializers.ChoiceField(choices=[("ok", "ok"), ("degraded", "degraded")])
    details = HealthDetailsSerializer(required=False)
