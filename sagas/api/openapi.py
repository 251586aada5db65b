"""What drf-spectacular says of this API in an OpenAPI schema. Imported where it is installed."""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.extensions import (
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
    OpenApiViewExtension,
)
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)

from sagas.api import senders
from sagas.api.batches import ItemQuerySerializer, NewBatchSerializer, NothingSerializer
from sagas.api.bodies import (
    BatchPlanSerializer,
    CountsSerializer,
    DefinitionSerializer,
    DeliveredSerializer,
    HealthSerializer,
    HistoryPageSerializer,
    OfferedOperationSerializer,
    PreviewSerializer,
    ProblemSerializer,
    PublishedSerializer,
    ReleasedSerializer,
    ShownBatchSerializer,
    ShownSagaSerializer,
)
from sagas.api.filters import ExpandSerializer, FilterSerializer, HistoryQuerySerializer, PageSerializer
from sagas.api.headers import LONGEST_WAIT, MAX_IDEMPOTENCY_KEY
from sagas.api.letters import (
    DeliveryFilterSerializer,
    EventFilterSerializer,
    LetterDetailSerializer,
    LetterFilterSerializer,
    LetterSerializer,
    MomentSerializer,
    OutboxSerializer,
    ReasonSerializer,
)
from sagas.api.operating import ALIASES, MOST_OF_A_REASON, form_for
from sagas.api.publishing import CloudEventSerializer
from sagas.api.schemas import input_schema
from sagas.api.serializers import (
    BatchItemSerializer,
    BatchSerializer,
    EventSerializer,
    HoldSerializer,
    SagaDetailSerializer,
    SagaSerializer,
    StartSerializer,
    StepWithAttemptsSerializer,
)
from sagas.definitions import holdable, registry
from sagas.keys import MAX_KEY
from sagas.operations.catalogue import OPERATIONS

TAG = "sagas"
PROBLEM = "application/problem+json"

SAGA_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The saga’s id.")
NUMBER = OpenApiParameter(
    "id", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, OpenApiParameter.PATH
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY, "pattern": "^[!#-~]+$"},
    OpenApiParameter.HEADER,
    description="The client’s own name for this request, the same whenever it is repeated.",
)
IF_MATCH = OpenApiParameter(
    "If-Match",
    {"type": "string", "pattern": r'^"[0-9]{1,18}"$'},
    OpenApiParameter.HEADER,
    description="The ETag of the saga as it was seen; if it has changed since, nothing is done.",
)
IF_NONE_MATCH = OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="An ETag.")
PREFER = OpenApiParameter(
    "Prefer",
    str,
    OpenApiParameter.HEADER,
    description=f"`wait=10`: answer when the saga changes, or after as many seconds, {LONGEST_WAIT} at most. "
    "Only on ASGI servers.",
)
LAST_EVENT_ID = OpenApiParameter("Last-Event-ID", str, OpenApiParameter.HEADER, description="A seq.")
NAMES = sorted({*OPERATIONS, *ALIASES})
OPERATION_NAME = OpenApiParameter("name", {"type": "string", "enum": NAMES}, OpenApiParameter.PATH)
TEXT: dict[str, dict[str, Any]] = {
    "step": {"type": "string", "minLength": 1, "maxLength": 100},
    "outcome": {"type": "string"},
}
ARGUMENTS = [
    OpenApiParameter(
        name,
        TEXT.get(name, {"type": "string"}),
        OpenApiParameter.QUERY,
        description="As in the body; objects as JSON.",
    )
    for name in ("step", "outcome", "result", "input")
]


def _told(name: str, *statuses: int, description: str) -> OpenApiParameter:
    return OpenApiParameter(
        name, str, OpenApiParameter.HEADER, response=list(statuses), description=description
    )


ETAG = _told("ETag", 200, 202, description="The saga’s revision.")
RETRY_AFTER = _told("Retry-After", 202, description="Seconds until it is worth looking again.")
REPLAYED = _told("Idempotency-Replayed", 202, description="`true`: an earlier request had done this.")
LOCATION = _told("Location", 202, description="Where to follow the saga.")


def problems(*statuses: int) -> dict[Any, Any]:
    """Return the answers that are problems."""
    return {(status, PROBLEM): OpenApiResponse(ProblemSerializer) for status in statuses}


def reading(body: Any, *statuses: int) -> dict[Any, Any]:
    """Return the answers to a request that only reads."""
    return {200: body, **problems(401, 403, 406, 503, *statuses)}


def writing(answers: dict[Any, Any], *statuses: int) -> dict[Any, Any]:
    """Return the answers to a request with a body."""
    return {**answers, **problems(400, 401, 403, 406, 413, 415, 429, 503, *statuses)}


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


def _hold_schema() -> dict[str, Any]:
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


def _operations() -> dict[str, Any]:
    return {
        name: extend_schema(
            tags=[TAG],
            parameters=[SAGA_ID, IF_MATCH, IDEMPOTENCY_KEY, ETAG, RETRY_AFTER, REPLAYED],
            request=form_for(OPERATIONS[ALIASES.get(name, name)]),
            responses=writing({202: SagaDetailSerializer}, 404, 409, 412, 422, 428),
        )
        for name in NAMES
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


class _Views(OpenApiViewExtension):  # type: ignore[no-untyped-call]
    """Has a view described by `methods`, by the names of its own."""

    def methods(self) -> dict[str, Any]:
        raise NotImplementedError

    def view_replacement(self) -> Any:
        target: Any = self.target_class
        described = type(target.__name__, (target,), {"__doc__": target.__doc__})
        return extend_schema_view(**self.methods())(described)


class SagaViews(_Views):  # type: ignore[no-untyped-call]
    """The endpoints of sagas."""

    target_class = "sagas.api.viewsets.SagaViewSet"

    def methods(self) -> dict[str, Any]:
        return _operations() | {
            "list": extend_schema(
                tags=[TAG], parameters=[FilterSerializer], responses=reading(SagaSerializer(many=True), 400)
            ),
            "retrieve": extend_schema(
                tags=[TAG],
                parameters=[SAGA_ID, ExpandSerializer, IF_NONE_MATCH, PREFER, ETAG],
                responses={
                    **reading(ShownSagaSerializer, 400, 404),
                    304: OpenApiResponse(description="It has not changed."),
                },
            ),
            "create": extend_schema(
                tags=[TAG],
                parameters=[IDEMPOTENCY_KEY, ETAG, RETRY_AFTER, LOCATION, REPLAYED],
                request=StartSerializer,
                responses=writing({202: SagaDetailSerializer}, 409, 422),
            ),
            "steps": extend_schema(
                tags=[TAG],
                parameters=[SAGA_ID, ETAG],
                responses=reading(StepWithAttemptsSerializer(many=True), 404),
            ),
            "history": extend_schema(
                tags=[TAG],
                parameters=[SAGA_ID, HistoryQuerySerializer],
                responses=reading(HistoryPageSerializer, 400, 404),
            ),
            "operations": extend_schema(
                tags=[TAG],
                parameters=[SAGA_ID],
                responses=reading(OfferedOperationSerializer(many=True), 404),
            ),
            "operation": extend_schema(
                operation_id="v1_sagas_operations_preview",
                tags=[TAG],
                parameters=[SAGA_ID, OPERATION_NAME, *ARGUMENTS],
                responses=reading(PreviewSerializer, 400, 404),
            ),
            "events": extend_schema(
                tags=[TAG],
                parameters=[SAGA_ID],
                request=EventSerializer,
                responses=writing({202: DeliveredSerializer}, 404, 409, 422),
            ),
            "timeline": extend_schema(
                tags=[TAG],
                parameters=[SAGA_ID],
                responses=reading(MomentSerializer(many=True), 404),
            ),
        }


class StreamView(_Views):  # type: ignore[no-untyped-call]
    """The stream."""

    target_class = "sagas.api.streaming.SagaStream"

    def methods(self) -> dict[str, Any]:
        answers: dict[Any, Any] = {
            (200, "text/event-stream"): OpenApiTypes.ANY,
            **problems(401, 403, 404, 406, 503),
        }
        return {"get": extend_schema(tags=[TAG], parameters=[SAGA_ID, LAST_EVENT_ID], responses=answers)}


class DefinitionsView(_Views):  # type: ignore[no-untyped-call]
    """The definitions."""

    target_class = "sagas.api.definitions.Definitions"

    def methods(self) -> dict[str, Any]:
        return {"get": extend_schema(tags=[TAG], responses=reading(DefinitionSerializer(many=True)))}


class HoldViews(_Views):  # type: ignore[no-untyped-call]
    """Holds."""

    target_class = "sagas.api.holds.HoldViewSet"

    def methods(self) -> dict[str, Any]:
        return {
            "list": extend_schema(tags=[TAG], responses=reading(HoldSerializer(many=True))),
            "create": extend_schema(
                tags=[TAG],
                request={"application/json": _hold_schema()},
                responses=writing({200: HoldSerializer, 201: HoldSerializer}),
            ),
            "destroy": extend_schema(
                tags=[TAG], parameters=[NUMBER], responses=reading(ReleasedSerializer, 404)
            ),
        }


class BatchViews(_Views):  # type: ignore[no-untyped-call]
    """Batches."""

    target_class = "sagas.api.batches.BatchViewSet"

    def methods(self) -> dict[str, Any]:
        changing = extend_schema(
            tags=[TAG],
            parameters=[NUMBER],
            request=NothingSerializer,
            responses=writing({202: ShownBatchSerializer}, 404, 409),
        )
        return {
            "list": extend_schema(
                tags=[TAG], parameters=[PageSerializer], responses=reading(BatchSerializer(many=True), 400)
            ),
            "create": extend_schema(
                tags=[TAG],
                parameters=[IDEMPOTENCY_KEY, LOCATION, REPLAYED],
                request=NewBatchSerializer,
                responses=writing({200: BatchPlanSerializer, 202: ShownBatchSerializer}, 409, 422),
            ),
            "retrieve": extend_schema(
                tags=[TAG], parameters=[NUMBER], responses=reading(ShownBatchSerializer, 404)
            ),
            "items": extend_schema(
                tags=[TAG],
                parameters=[NUMBER, ItemQuerySerializer],
                responses=reading(BatchItemSerializer(many=True), 400, 404),
            ),
            "start": changing,
            "resume": changing,
            "suspend": changing,
            "stop": changing,
        }


SIGNED = [
    OpenApiParameter(name, str, OpenApiParameter.HEADER, required=True, description=description)
    for name, description in (
        (senders.ID, "The message’s id."),
        (senders.TIMESTAMP, "When it was signed: seconds since 1970."),
        (senders.SIGNATURE, "As Standard Webhooks has it: `v1,` and the HMAC in base64."),
    )
]


class CallbackView(_Views):  # type: ignore[no-untyped-call]
    """Answers to sagas that wait."""

    target_class = "sagas.api.callbacks.Callbacks"

    def methods(self) -> dict[str, Any]:
        token = OpenApiParameter("token", str, OpenApiParameter.PATH, description="As a step handed it out.")
        described = extend_schema(
            tags=[TAG],
            auth=[],
            parameters=[token, *SIGNED],
            request={"application/json": {"type": "object", "description": "The data of the event."}},
            responses=writing({202: DeliveredSerializer}, 404, 409),
        )
        return {"post": described}


class EventsView(_Views):  # type: ignore[no-untyped-call]
    """Publishing."""

    target_class = "sagas.api.publishing.Events"

    def methods(self) -> dict[str, Any]:
        described = extend_schema(
            tags=[TAG],
            auth=[],
            parameters=SIGNED,
            request=CloudEventSerializer,
            responses=writing({202: PublishedSerializer}, 422),
        )
        return {"post": described}


LETTER_ID = OpenApiParameter(
    "id", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, OpenApiParameter.PATH
)


class OutboxViews(_Views):  # type: ignore[no-untyped-call]
    """What was published."""

    target_class = "sagas.api.letters.OutboxViewSet"

    def methods(self) -> dict[str, Any]:
        described = extend_schema(
            tags=[TAG],
            parameters=[EventFilterSerializer],
            responses=reading(OutboxSerializer(many=True), 400),
        )
        return {"list": described}


class DeliveryViews(_Views):  # type: ignore[no-untyped-call]
    """Deliveries."""

    target_class = "sagas.api.letters.DeliveryViewSet"
    filter_form: type[EventFilterSerializer] = DeliveryFilterSerializer
    acts = ("hold", "release")

    def methods(self) -> dict[str, Any]:
        act = extend_schema(
            tags=[TAG],
            parameters=[LETTER_ID],
            request=ReasonSerializer,
            responses=writing({202: LetterDetailSerializer}, 404, 409),
        )
        return {
            "list": extend_schema(
                tags=[TAG],
                parameters=[self.filter_form],
                responses=reading(LetterSerializer(many=True), 400),
            ),
            "retrieve": extend_schema(
                tags=[TAG], parameters=[LETTER_ID], responses=reading(LetterDetailSerializer, 404)
            ),
            **dict.fromkeys(self.acts, act),
        }


class LetterViews(DeliveryViews):  # type: ignore[no-untyped-call]
    """Dead letters."""

    target_class = "sagas.api.letters.LetterViewSet"
    filter_form = LetterFilterSerializer
    acts = ("requeue", "resolve")


class StatsView(_Views):  # type: ignore[no-untyped-call]
    """Figures."""

    target_class = "sagas.api.figures.Stats"

    def methods(self) -> dict[str, Any]:
        return {"get": extend_schema(tags=[TAG], responses=reading(CountsSerializer))}


class HealthView(_Views):  # type: ignore[no-untyped-call]
    """Health."""

    target_class = "sagas.api.figures.Health"

    def methods(self) -> dict[str, Any]:
        answers = {200: HealthSerializer, 503: HealthSerializer, **problems(401, 406)}
        return {"get": extend_schema(tags=[TAG], responses=answers)}
