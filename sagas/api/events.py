"""Events that other systems deliver to a saga which waits for them."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.request import Request

from sagas.api.serializers import EventSerializer
from sagas.messaging import SUBSCRIBER, offer
from sagas.models import InboxMessage, Saga
from sagas.operations.actors import Actor
from sagas.states import StepStatus, WaitsFor

PERMISSION = "sagas.deliver_event"


class NotWaiting(APIException):
    """The saga waits for no event of this topic."""

    status_code = 409
    default_code = "not_waiting"

    def __init__(self, detail: str, **extensions: Any) -> None:
        super().__init__(detail)
        self.extensions = extensions


class EventIdReused(APIException):
    """The id was given to another event."""

    status_code = 422
    default_code = "event_id_reused"


def deliver(saga: Saga, request: Request) -> dict[str, Any]:
    """Leave an event for the saga. Return what is to be said of it. Raises `NotWaiting`, `EventIdReused`."""
    if not Actor.of(request.user).may(PERMISSION, saga):
        raise PermissionDenied(_("Delivering events takes the permission %(name)s.") % {"name": PERMISSION})
    form = EventSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    event = form.validated_data
    said = {"id": str(event["id"]), "topic": event["topic"]}
    if (
        known := InboxMessage.objects.filter(subscriber=SUBSCRIBER, event_id=event["id"]).first()
    ) is not None:
        if (known.topic, known.data) != (event["topic"], event["data"]):
            raise EventIdReused(_("An event with this id has arrived, and it is another one. Use a new id."))
        return said | {"already": True}
    offer(event["topic"], event["data"], key=_key(saga, event["topic"]), id=event["id"])
    return said


def _key(saga: Saga, topic: str) -> str:
    """Return the key under which the saga waits for this topic."""
    waiting_steps = saga.steps.filter(status=StepStatus.WAITING, waits_for=WaitsFor.EVENT)
    addresses = waiting_steps.values_list("waits_on", flat=True)
    waiting = dict(address.split(":", 2)[1:] for address in addresses)
    if topic not in waiting:
        topics = sorted(waiting)
        raise NotWaiting(
            _("%(saga)s is %(status)s and waits for %(topics)s, not for %(topic)r.")
            % {
                "saga": saga,
                "status": saga.status,
                "topics": ", ".join(topics) or _("no event"),
                "topic": topic,
            },
            waits_for=topics,
            current_status=saga.status,
        )
    return waiting[topic]
