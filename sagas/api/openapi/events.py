"""The views of events, deliveries, dead letters and callbacks."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import (
    OpenApiParameter,
    extend_schema,
)

from sagas.api import senders
from sagas.api.bodies import (
    DeliveredSerializer,
    PublishedSerializer,
)
from sagas.api.letters import (
    DeliveryFilterSerializer,
    EventFilterSerializer,
    LetterDetailSerializer,
    LetterFilterSerializer,
    LetterSerializer,
    OutboxSerializer,
    ReasonSerializer,
)
from sagas.api.openapi.describing import Described
from sagas.api.openapi.parameters import TAG, reading, writing
from sagas.api.publishing import CloudEventSerializer

SIGNED = [
    OpenApiParameter(name, str, OpenApiParameter.HEADER, required=True, description=description)
    for name, description in (
        (senders.ID, "The message’s id."),
        (senders.TIMESTAMP, "When it was signed: seconds since 1970."),
        (senders.SIGNATURE, "As Standard Webhooks has it: `v1,` and the HMAC in base64."),
    )
]


class CallbackView(Described):  # type: ignore[no-untyped-call]
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


class EventsView(Described):  # type: ignore[no-untyped-call]
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


class OutboxViews(Described):  # type: ignore[no-untyped-call]
    """What was published."""

    target_class = "sagas.api.letters.OutboxViewSet"

    def methods(self) -> dict[str, Any]:
        described = extend_schema(
            tags=[TAG],
            parameters=[EventFilterSerializer],
            responses=reading(OutboxSerializer(many=True), 400),
        )
        return {"list": described}


class DeliveryViews(Described):  # type: ignore[no-untyped-call]
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
