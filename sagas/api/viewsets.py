"""The endpoints of sagas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from sagas.api.filters import SagaFilter
from sagas.api.headers import etag, expected_revision, idempotency_key
from sagas.api.pagination import SagaPagination
from sagas.api.parsers import SagaJSONParser
from sagas.api.permissions import MayLook
from sagas.api.problems import ProblemViews
from sagas.api.serializers import (
    OperationSerializer,
    SagaDetailSerializer,
    SagaSerializer,
    StartSerializer,
)
from sagas.definitions import registry
from sagas.models import Saga
from sagas.operations.actors import Actor
from sagas.operations.catalogue import PLAIN, Operation
from sagas.operations.performing import perform
from sagas.operations.starting import start
from sagas.states import AT_WORK

LOOK_AGAIN_AFTER = "1"
"""Seconds until it is worth asking again how a saga stands."""


# Not in a transaction of the request: the record of a refusal is committed although the answer is an error.
@method_decorator(transaction.non_atomic_requests(using=Saga.objects.db), name="dispatch")
class SagaViewSet(ProblemViews, mixins.ListModelMixin, viewsets.GenericViewSet[Saga]):
    """Start sagas, follow them, operate them. The operations are the catalogue's, each at its own address."""

    queryset = Saga.objects.defer("input")
    serializer_class = SagaSerializer
    permission_classes = (IsAuthenticated, MayLook)
    parser_classes = (SagaJSONParser,)
    pagination_class = SagaPagination
    filter_backends = (SagaFilter,)

    def retrieve(self, request: Request, pk: str) -> HttpResponseBase | None:
        """Show a saga with its steps."""
        saga = self._find(pk)
        self.check_object_permissions(request, saga)
        headers = {"ETag": etag(saga)}
        if saga.status in AT_WORK:
            headers["Retry-After"] = LOOK_AGAIN_AFTER
        response = Response(self._body(saga), headers=headers)
        return get_conditional_response(request._request, etag=etag(saga), response=response)

    def create(self, request: Request) -> Response:
        """Start a saga: 202, for it has only begun when the answer is sent."""
        form = StartSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        needed = registry.named(asked["definition"]).start_permission
        if not Actor.of(request.user).may(needed):
            message = _("Starting %(definition)s takes the permission %(permission)s.")
            message %= {"definition": asked["definition"], "permission": needed}
            self.permission_denied(request, message=message, code="permission_denied")
        saga = start(
            asked["definition"],
            asked["input"],
            key=asked.get("key"),
            idempotency_key=idempotency_key(request),
            by=request.user,
        )
        response = self._accepted(str(saga.pk))
        response["Location"] = str(response.data["url"])  # A plain str: wsgiref takes no subclass.
        return response

    def _operate(self, request: Request, operation: Operation, pk: str) -> Response:
        form = OperationSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        perform(
            _uuid(pk),
            operation.name,
            by=request.user,
            reason=form.validated_data["reason"],
            expected_revision=expected_revision(request),
        )
        return self._accepted(pk)

    def _accepted(self, pk: str) -> Response:
        saga = self._find(pk)
        return Response(
            self._body(saga), status=202, headers={"ETag": etag(saga), "Retry-After": LOOK_AGAIN_AFTER}
        )

    def _find(self, pk: str) -> Saga:
        saga = Saga.objects.prefetch_related("steps").filter(pk=_uuid(pk)).first()
        if saga is None:
            raise NotFound(_("There is no saga %(id)s.") % {"id": pk})
        return saga

    def _body(self, saga: Saga) -> dict[str, Any]:
        return dict(SagaDetailSerializer(saga, context=self.get_serializer_context()).data)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(_("There is no saga %(id)s.") % {"id": text}) from None


def _endpoint(operation: Operation) -> Callable[..., Response]:
    def endpoint(view: SagaViewSet, request: Request, pk: str) -> Response:
        return view._operate(request, operation, pk)

    endpoint.__name__ = operation.name
    return action(detail=True, methods=["post"])(endpoint)


for _operation in PLAIN.values():
    setattr(SagaViewSet, _operation.name, _endpoint(_operation))
