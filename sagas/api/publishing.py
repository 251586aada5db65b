"""Events that other systems publish here, as CloudEvents 1.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import transaction
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from sagas.api.events import EventIdReused
from sagas.api.fields import TextField
from sagas.api.parsers import SagaJSONParser
from sagas.api.problems import ProblemViews
from sagas.api.senders import SignedBySender
from sagas.api.throttles import SagaThrottle
from sagas.definitions import Event
from sagas.engine.publications import publish
from sagas.keys import MAX_KEY
from sagas.messaging import MAX_TOPIC
from sagas.models import OutboxMessage
from sagas.telemetry import traceparent_of


class CloudEventParser(SagaJSONParser):
    """Reads a CloudEvent in its structured form."""

    media_type = "application/cloudevents+json"


class CloudEventSerializer(serializers.Serializer[Any]):
    """An event as CloudEvents 1.0 has it. Attributes that are not told here are passed over."""

    specversion = serializers.ChoiceField(choices=[("1.0", "1.0")])
    id = TextField(max_length=200)
    source = TextField(max_length=200)  # type: ignore[assignment]
    type = TextField(max_length=MAX_TOPIC)
    subject = TextField(
        max_length=MAX_KEY,
        required=False,
        default="",
        help_text="The key: events of one key keep their order.",
    )
    datacontenttype = serializers.ChoiceField(choices=[("application/json", "JSON")], required=False)
    data = serializers.DictField(required=False, default=dict)  # type: ignore[assignment]
    correlationid = TextField(max_length=MAX_KEY, required=False, default="")
    causationid = TextField(max_length=MAX_KEY, required=False, default="")
    traceparent = TextField(max_length=55, required=False)
    hops = serializers.IntegerField(min_value=0, max_value=1000, required=False, default=0)


@method_decorator(transaction.non_atomic_requests(using=OutboxMessage.objects.db), name="dispatch")
class Events(ProblemViews):
    """Publish an event: 202, for its handlers work later. The same id again is the same event."""

    authentication_classes = (SignedBySender,)
    permission_classes = (IsAuthenticated,)
    parser_classes = (SagaJSONParser, CloudEventParser)
    throttle_classes = (SagaThrottle,)
    throttle_scope = "saga-publish"

    def post(self, request: Request) -> Response:
        """Publish."""
        form = CloudEventSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given: Mapping[str, Any] = form.validated_data
        pk = _id_of(given)
        said: dict[str, Any] = {"id": str(pk), "type": given["type"]}
        if (known := OutboxMessage.objects.filter(event_id=pk).first()) is not None:
            if (known.topic, known.key, known.data) != (given["type"], given["subject"], given["data"]):
                raise EventIdReused(
                    _("An event with this id has arrived, and it is another one. Use a new id.")
                )
            return Response(said | {"already": True}, status=202)
        publish(
            Event(
                given["type"],
                given["data"],
                given["subject"],
                id=pk,
                correlation_id=given["correlationid"],
                causation_id=given["causationid"],
                source=given["source"],
                traceparent=traceparent_of(given.get("traceparent")),
                hops=given["hops"],
            )
        )
        return Response(said, status=202)


def _id_of(given: Mapping[str, Any]) -> UUID:
    """Return the id by which the event is known here: its own if that is a UUID, else one made of it."""
    try:
        return UUID(given["id"])
    except ValueError:
        return uuid5(NAMESPACE_URL, f"{given['source']}\x1f{given['id']}")
