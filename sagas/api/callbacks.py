"""The address at which other systems answer sagas that wait for them."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from sagas.api.parsers import SagaJSONParser
from sagas.api.problems import ProblemViews
from sagas.api.senders import SignedForCallback
from sagas.api.throttles import SagaThrottle
from sagas.exceptions import AnswerRefused
from sagas.operations.answering import answer


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
        try:
            event_id, topic = answer(saga_id, wait, dict(request.data))
        except AnswerRefused as refused:
            if refused.code == "callback_spent":
                raise AuthenticationFailed(str(refused), code=refused.code) from refused
            raise
        return Response({"id": str(event_id), "topic": topic}, status=202)
