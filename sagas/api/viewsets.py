"""The endpoints of sagas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.db import transaction
from django.http import HttpResponseBase
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from sagas.api.events import deliver
from sagas.api.filters import ExpandSerializer, HistoryQuerySerializer, SagaFilter, checked_parameters
from sagas.api.headers import etag, idempotency_key, is_seen, starting_key, wanted_wait
from sagas.api.letters import MomentSerializer
from sagas.api.lookup import saga_of
from sagas.api.operating import ALIASES, carry_out, catalogue_of, plan_of
from sagas.api.pagination import SagaPagination
from sagas.api.parsers import SagaJSONParser
from sagas.api.permissions import MayViewSaga
from sagas.api.problems import ProblemViews
from sagas.api.repeats import promptly, refuse_other_definition
from sagas.api.serializers import (
    ExpandedSagaSerializer,
    HistorySerializer,
    SagaDetailSerializer,
    SagaSerializer,
    StartSerializer,
    StepWithAttemptsSerializer,
)
from sagas.api.throttles import SagaThrottle
from sagas.api.waiting import WAITED, Later
from sagas.choreography.timeline import timeline
from sagas.definitions import registry
from sagas.models import HistoryKind, Saga
from sagas.operations.actors import Actor
from sagas.operations.catalogue import OPERATIONS, Operation
from sagas.operations.privacy import shown_to
from sagas.operations.starting import start
from sagas.states import AT_WORK

LOOK_AGAIN_AFTER = "1"
"""Seconds until it is worth asking again how a saga stands."""
MOST_TOLD = 500
"""Entries of a history in one answer, and of all attempts of a saga's steps."""

WHOLE: dict[str, Any] = {"pagination_class": None, "filter_backends": ()}
"""Options of lists that come in one piece."""


# Not in a transaction of the request: the record of a refusal is committed although the answer is an error.
@method_decorator(transaction.non_atomic_requests(using=Saga.objects.db), name="dispatch")
class SagaViewSet(ProblemViews, mixins.ListModelMixin, viewsets.GenericViewSet[Saga]):
    """Start sagas, follow them, operate them. The operations are the catalogue's, each at its own address."""

    queryset = Saga.objects.defer("input")
    serializer_class = SagaSerializer
    permission_classes = (IsAuthenticated, MayViewSaga)
    parser_classes = (SagaJSONParser,)
    pagination_class = SagaPagination
    filter_backends = (SagaFilter,)
    throttle_classes = (SagaThrottle,)
    lookup_value_regex = "[^/]+"  # What is no id is answered with a problem too.

    @property
    def throttle_scope(self) -> str | None:
        """Whom a project may bound: those who start, and those who operate."""
        if self.action == "create":
            return "saga-start"
        return "saga-operate" if self.request.method == "POST" else None

    def list(self, request: Request) -> Response:
        """List sagas, newest first, page by page."""
        return super().list(request)

    def retrieve(self, request: Request, pk: str) -> HttpResponseBase:
        """Show a saga. With `Prefer: wait=10` the answer may wait for a change of it."""
        expand = checked_parameters(request, ExpandSerializer).get("expand")
        saga = self._looked_at(pk)
        seen = is_seen(request, saga)
        headers = {"ETag": etag(saga)}
        if saga.status in AT_WORK:
            headers["Retry-After"] = LOOK_AGAIN_AFTER
        if isinstance(request._request, ASGIRequest) and (seconds := wanted_wait(request)):
            is_news = "If-None-Match" in request.headers and not seen
            if saga.is_live and not is_news and not hasattr(request._request, WAITED):
                return Later(request._request, saga, seconds)
            headers["Preference-Applied"] = f"wait={seconds}"
        if seen:
            return Response(status=304, headers=headers)
        return Response(self._body(saga, expanded=expand is not None), headers=headers)

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
        saga, replayed = self._started(request, **asked)
        response = self._accepted(saga)
        response["Location"] = response.data["url"]
        if replayed:
            response["Idempotency-Replayed"] = "true"
        return response

    def _started(
        self, request: Request, *, definition: str, input: dict[str, Any], key: str | None = None
    ) -> tuple[Saga, bool]:
        """Start a saga; say whether it was started by an earlier request with the same key."""
        once = starting_key(request)
        begin = partial(
            start, definition, input, key=key, by=request.user, traceparent=request.headers.get("traceparent")
        )
        if once is None:
            return begin(), False
        refuse_other_definition(once, client=Actor.of(request.user).name, definition=definition)
        with promptly():
            saga = begin(idempotency_key=once)
        # Of a saga that was just stored, not everything was read.
        return saga, not saga.get_deferred_fields()

    @action(detail=True, **WHOLE)
    def steps(self, request: Request, pk: str) -> Response:
        """List the steps of a saga, each with what is told of its attempts."""
        saga = self._looked_at(pk)
        told = saga.history.exclude(step="").filter(kind__in=(HistoryKind.ATTEMPT, HistoryKind.EVIDENCE))
        history = defaultdict(list)
        shown = shown_to(request.user, saga)
        for entry in reversed(told.order_by("-id")[:MOST_TOLD]):
            history[entry.step].append(HistorySerializer(entry, context={"shown": shown}).data)
        context = {"history": history, "shown": shown}
        steps = StepWithAttemptsSerializer(saga.steps.all(), many=True, context=context)
        return Response(steps.data, headers={"ETag": etag(saga)})

    @action(detail=True, **WHOLE)
    def history(self, request: Request, pk: str) -> Response:
        """Tell what happened to a saga, from the first entry on or from the one after `after`."""
        asked = checked_parameters(request, HistoryQuerySerializer)
        saga = self._looked_at(pk)
        after = asked.get("after", 0)
        entries = list(saga.history.filter(pk__gt=after).order_by("pk")[:MOST_TOLD])
        return Response(
            {
                "results": HistorySerializer(
                    entries, many=True, context={"shown": shown_to(request.user, saga)}
                ).data,
                "next_after": entries[-1].pk if entries else after,
            }
        )

    @action(detail=True, **WHOLE)
    def operations(self, request: Request, pk: str) -> Response:
        """List what could be asked of a saga, and why the rest could not."""
        return Response(catalogue_of(self._looked_at(pk), request))

    @action(detail=True, url_path=r"operations/(?P<name>[^/]+)", url_name="operation")
    def operation(self, request: Request, pk: str, name: str) -> Response:
        """Say what an operation would do, and do nothing."""
        name = ALIASES.get(name, name)
        if name not in OPERATIONS:
            raise NotFound(_("There is no operation %(name)s.") % {"name": name})
        return Response(plan_of(saga_of(pk), OPERATIONS[name], request))

    @action(detail=True, methods=["post"])
    def events(self, request: Request, pk: str) -> Response:
        """Deliver an event to a saga that waits for it."""
        return Response(deliver(saga_of(pk), request), status=202)

    @action(detail=True, **WHOLE)
    def timeline(self, request: Request, pk: str) -> Response:
        """Tell the events that share the saga's correlation id, each with its deliveries."""
        saga = self._looked_at(pk)
        return Response(MomentSerializer(timeline(saga), many=True).data)

    def _operate(self, request: Request, operation: Operation, pk: str) -> Response:
        idempotency_key(request)
        said = carry_out(saga_of(pk), operation, request)
        response = self._accepted(saga_of(pk, with_input=True))
        if said.pop("replayed", False):
            response["Idempotency-Replayed"] = "true"
        response.data |= said
        return response

    def _accepted(self, saga: Saga) -> Response:
        headers = {"ETag": etag(saga), "Retry-After": LOOK_AGAIN_AFTER}
        return Response(self._body(saga), status=202, headers=headers)

    def _looked_at(self, pk: str) -> Saga:
        """Return a saga that the user may look at."""
        saga = saga_of(pk, with_input=True)
        self.check_object_permissions(self.request, saga)
        return saga

    def _body(self, saga: Saga, *, expanded: bool = False) -> dict[str, Any]:
        of = ExpandedSagaSerializer if expanded else SagaDetailSerializer
        context = {"request": self.request, "shown": shown_to(self.request.user, saga)}
        return of(context=context).to_representation(saga)


def _endpoint(name: str, operation: Operation) -> Callable[..., Response]:
    def endpoint(view: SagaViewSet, request: Request, pk: str) -> Response:
        return view._operate(request, operation, pk)

    endpoint.__name__ = name
    endpoint.__doc__ = f"{operation.label} a saga: 202, for what follows takes its time."
    return action(detail=True, methods=["post"])(endpoint)


for _name in (*OPERATIONS, *ALIASES):
    setattr(SagaViewSet, _name, _endpoint(_name, OPERATIONS[ALIASES.get(_name, _name)]))
