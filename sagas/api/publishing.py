"""Events that other systems publish here, as CloudEvents 1.0."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.decorators import method_decorator
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
from sagas.choreography.arrivals import arrive
from sagas.exceptions import EventClash
from sagas.keys import MAX_KEY
from sagas.messaging import MAX_TOPIC
from sagas.models import OutboxMessage


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
        try:
            pk, already = arrive(form.validated_data)
        except EventClash as clash:
            raise EventIdReused(str(clash)) from clash
        said: dict[str, Any] = {"id": str(pk), "type": form.validated_data["type"]}
        return Response(said | ({"already": True} if already else {}), status=202)
