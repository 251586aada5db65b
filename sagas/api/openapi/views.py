"""The views of sagas, definitions, holds, batches and figures."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiResponse,
    extend_schema,
)

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
    ReleasedSerializer,
    ShownBatchSerializer,
    ShownSagaSerializer,
)
from sagas.api.filters import ExpandSerializer, FilterSerializer, HistoryQuerySerializer, PageSerializer
from sagas.api.letters import (
    MomentSerializer,
)
from sagas.api.openapi.bodies import hold_schema
from sagas.api.openapi.describing import Described
from sagas.api.openapi.parameters import (
    ARGUMENTS,
    ETAG,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    LAST_EVENT_ID,
    LOCATION,
    NAMES,
    NUMBER,
    OPERATION_NAME,
    PREFER,
    REPLAYED,
    RETRY_AFTER,
    SAGA_ID,
    TAG,
    problems,
    reading,
    writing,
)
from sagas.api.operating import ALIASES, form_for
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
from sagas.operations.catalogue import OPERATIONS


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


class SagaViews(Described):  # type: ignore[no-untyped-call]
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


class StreamView(Described):  # type: ignore[no-untyped-call]
    """The stream."""

    target_class = "sagas.api.streaming.SagaStream"

    def methods(self) -> dict[str, Any]:
        answers: dict[Any, Any] = {
            (200, "text/event-stream"): OpenApiTypes.ANY,
            **problems(401, 403, 404, 406, 503),
        }
        return {"get": extend_schema(tags=[TAG], parameters=[SAGA_ID, LAST_EVENT_ID], responses=answers)}


class DefinitionsView(Described):  # type: ignore[no-untyped-call]
    """The definitions."""

    target_class = "sagas.api.definitions.Definitions"

    def methods(self) -> dict[str, Any]:
        return {"get": extend_schema(tags=[TAG], responses=reading(DefinitionSerializer(many=True)))}


class HoldViews(Described):  # type: ignore[no-untyped-call]
    """Holds."""

    target_class = "sagas.api.holds.HoldViewSet"

    def methods(self) -> dict[str, Any]:
        return {
            "list": extend_schema(tags=[TAG], responses=reading(HoldSerializer(many=True))),
            "create": extend_schema(
                tags=[TAG],
                request={"application/json": hold_schema()},
                responses=writing({200: HoldSerializer, 201: HoldSerializer}),
            ),
            "destroy": extend_schema(
                tags=[TAG], parameters=[NUMBER], responses=reading(ReleasedSerializer, 404)
            ),
        }


class BatchViews(Described):  # type: ignore[no-untyped-call]
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


class StatsView(Described):  # type: ignore[no-untyped-call]
    """Figures."""

    target_class = "sagas.api.figures.Stats"

    def methods(self) -> dict[str, Any]:
        return {"get": extend_schema(tags=[TAG], responses=reading(CountsSerializer))}


class HealthView(Described):  # type: ignore[no-untyped-call]
    """Health."""

    target_class = "sagas.api.figures.Health"

    def methods(self) -> dict[str, Any]:
        answers = {200: HealthSerializer, 503: HealthSerializer, **problems(401, 406)}
        return {"get": extend_schema(tags=[TAG], responses=answers)}
