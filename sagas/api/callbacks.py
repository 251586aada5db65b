"""Answers of other systems to sagas that wait for them, at the address that a step handed out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from sagas.api.events import NotWaiting
from sagas.api.parsers import SagaJSONParser
from sagas.api.problems import ProblemViews
from sagas.api.senders import SignedForCallback
from sagas.api.throttles import SagaThrottle
from sagas.definitions import WaitForEvent, registry
from sagas.engine.callbacks import answer_id
from sagas.keys import render_key
from sagas.messaging import SUBSCRIBER, offer
from sagas.models import InboxMessage, Saga, SagaStep
from sagas.states import Direction, StepStatus, WaitsFor


class AnswerSerializer(serializers.Serializer[Any]):
    """The data of the event: any object."""


class Callbacks(ProblemViews):
    """Answer a saga that waits, or is about to. An answer counts once: another is refused with 401."""

    authentication_classes = (SignedForCallback,)
    permission_classes = (IsAuthenticated,)
    parser_classes = (SagaJSONParser,)
    throttle_classes = (SagaThrottle,)
    throttle_scope = "saga-publish"

    def post(self, request: Request, token: str) -> Response:
        """Answer."""
        if not isinstance(request.data, dict):
            raise serializers.ValidationError(_("The body must be a JSON object: the data of the event."))
        saga_id, wait = request.user.answers  # type: ignore[union-attr]
        with transaction.atomic(using=Saga.objects.db):
            return Response(_taken(saga_id, wait, dict(request.data)), status=202)


def _taken(saga_id: UUID, wait: str, data: dict[str, Any]) -> dict[str, str]:
    """Leave the event for the saga, whose row keeps a second answer waiting until it can see the first."""
    saga = Saga.objects.select_for_update(no_key=True).filter(pk=saga_id).first()
    if saga is None:
        raise NotFound(_("There is no saga %(id)s any more.") % {"id": saga_id})
    pk = answer_id(saga_id, wait)
    if InboxMessage.objects.filter(subscriber=SUBSCRIBER, event_id=pk).exists():
        text = _("This callback has been used: its answer has come, and counts once.")
        raise AuthenticationFailed(text, code="callback_spent")
    topic, key = _address(saga, wait)
    offer(topic, data, key=key, id=pk)
    return {"id": str(pk), "topic": topic}


def _address(saga: Saga, wait: str) -> tuple[str, str]:
    """Return topic and key of a wait: as it waits now, or as it is going to. Raise `NotWaiting`."""
    step = saga.steps.filter(name=wait).first()
    if step is not None and step.waits_on.startswith("event:"):
        _kind, topic, key = step.waits_on.split(":", 2)
        if step.status in (StepStatus.WAITING, StepStatus.FAILED):  # Failed: it is known to come too late.
            return topic, key
    definition = registry.get(saga.definition)
    element = definition.outline().steps.get(wait) if definition else None
    if _is_ahead(saga, step) and isinstance(element, WaitForEvent):
        return element.topic, render_key(element.correlate, _values(saga))
    raise NotWaiting(
        _("%(saga)s is %(status)s and does not wait for %(wait)s any more.")
        % {"saga": saga, "status": saga.status, "wait": wait},
        current_status=saga.status,
    )


def _is_ahead(saga: Saga, step: SagaStep | None) -> bool:
    """Whether the saga is still to come to a wait. What arrives before that is kept until it does."""
    if step is None or not saga.is_live or saga.direction == Direction.BACK:
        return False
    return step.status == StepStatus.PENDING or (
        step.status == StepStatus.WAITING and step.waits_for != WaitsFor.EVENT
    )


def _values(saga: Saga) -> dict[str, Any]:
    """Return what the key of a wait is made of."""
    done = saga.steps.filter(status=StepStatus.COMPLETED).values_list("name", "result")
    return {"key": saga.key, **dict(done), **saga.input}
