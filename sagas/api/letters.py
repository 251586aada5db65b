"""Events on their way, over HTTP: what was published, how its deliveries stand, and which were given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.filters import BaseFilterBackend
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sagas.api.fields import TextField
from sagas.api.filters import PageSerializer, checked_parameters
from sagas.api.operating import MOST_OF_A_REASON
from sagas.api.pagination import TimeCursorPagination
from sagas.api.parsers import SagaJSONParser
from sagas.api.problems import ProblemViews
from sagas.api.serializers import RowSerializer, StrictSerializer
from sagas.api.throttles import SagaThrottle
from sagas.keys import MAX_KEY
from sagas.messaging import MAX_TOPIC
from sagas.models import DeadLetterAct, InboxMessage, InboxStatus, OutboxMessage
from sagas.operations.actors import Actor
from sagas.operations.letters import hold, release, requeue, resolve


class OutboxSerializer(RowSerializer):
    """An event that was published. `headers` say where it comes from and what it follows from."""

    data = serializers.DictField(read_only=True)  # type: ignore[assignment]
    headers = serializers.DictField(read_only=True)
    saga = serializers.UUIDField(source="saga_id", read_only=True, allow_null=True)

    class Meta:
        model = OutboxMessage
        fields = (
            "id",
            "event_id",
            "topic",
            "key",
            "seq",
            "data",
            "headers",
            "saga",
            "correlation_id",
            "causation_id",
            "status",
            "at",
        )


class LetterSerializer(RowSerializer):
    """A delivery, and how far it has come. Given up or held it awaits a person."""

    data = serializers.DictField(read_only=True)  # type: ignore[assignment]
    headers = serializers.DictField(read_only=True)

    class Meta:
        model = InboxMessage
        fields: tuple[str, ...] = (
            "id",
            "event_id",
            "subscriber",
            "topic",
            "key",
            "seq",
            "data",
            "headers",
            "correlation_id",
            "status",
            "tries",
            "crashes",
            "due_at",
            "error_class",
            "error",
            "at",
            "ended_at",
        )


class LetterActSerializer(RowSerializer):
    """What somebody did about a delivery."""

    data = serializers.DictField(read_only=True)  # type: ignore[assignment]

    class Meta:
        model = DeadLetterAct
        fields = ("at", "operation", "actor_kind", "actor", "reason", "refusal", "data")


class LetterDetailSerializer(LetterSerializer):
    """A delivery by itself, with what was done about it."""

    acts = LetterActSerializer(many=True, read_only=True)

    class Meta(LetterSerializer.Meta):
        fields = (*LetterSerializer.Meta.fields, "acts")


class DeliverySerializer(RowSerializer):
    """How far an event has come with one subscriber."""

    class Meta:
        model = InboxMessage
        fields = (
            "id",
            "subscriber",
            "status",
            "tries",
            "crashes",
            "in_doubt",
            "due_at",
            "ended_at",
            "error_class",
            "error",
        )


class MomentSerializer(serializers.Serializer[Any]):
    """An event of a saga, and how far it has come."""

    event = OutboxSerializer()
    deliveries = DeliverySerializer(many=True)


class ReasonSerializer(StrictSerializer):
    """Why."""

    reason = TextField(
        max_length=MOST_OF_A_REASON, allow_blank=True, default="", help_text="Kept with the act."
    )


class EventFilterSerializer(PageSerializer):
    """What a list of events can be narrowed to, each given once."""

    topic = serializers.CharField(max_length=MAX_TOPIC, required=False)
    key = serializers.CharField(max_length=MAX_KEY, trim_whitespace=False, required=False)
    correlation_id = serializers.CharField(max_length=MAX_KEY, trim_whitespace=False, required=False)


class LetterFilterSerializer(EventFilterSerializer):
    """What a list of dead letters can be narrowed to, each given once."""

    subscriber = serializers.CharField(max_length=200, required=False)
    error_class = serializers.CharField(max_length=200, required=False)


class DeliveryFilterSerializer(LetterFilterSerializer):
    """What a list of deliveries can be narrowed to, each given once."""

    status = serializers.ChoiceField(choices=InboxStatus.choices, required=False)


class EventFilter(BaseFilterBackend):
    """Narrows a list as its view's form says, and refuses what that does not know."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if view.detail:
            return queryset
        wanted = checked_parameters(request, view.filter_form)
        return queryset.filter(
            **{name: value for name, value in wanted.items() if name not in PageSerializer().fields}
        )


class EventPagination(TimeCursorPagination):
    """Newest first."""

    ordering = ("-at", "-id")


def _may(permission: str) -> type[BasePermission]:
    class May(BasePermission):
        message = _("This takes the permission %(name)s.") % {"name": permission}

        def has_permission(self, request: Request, view: APIView) -> bool:
            return request.method not in ("GET", "HEAD") or Actor.of(request.user).may(permission)

    return May


class OutboxViewSet(ProblemViews, mixins.ListModelMixin, viewsets.GenericViewSet[OutboxMessage]):
    """What was published."""

    queryset = OutboxMessage.objects.all()
    serializer_class = OutboxSerializer
    permission_classes = (IsAuthenticated, _may("sagas.view_outboxmessage"))
    pagination_class = EventPagination
    filter_backends = (EventFilter,)
    filter_form = EventFilterSerializer

    def list(self, request: Request) -> Response:
        """List the events that were published, newest first, page by page."""
        return super().list(request)


# Not in a transaction of the request: the record of a refusal is committed although the answer is an error.
@method_decorator(transaction.non_atomic_requests(using=InboxMessage.objects.db), name="dispatch")
class ActedOn(ProblemViews, mixins.ListModelMixin, viewsets.GenericViewSet[InboxMessage]):
    """Deliveries, about which something may be done."""

    queryset = InboxMessage.objects.all()
    serializer_class = LetterSerializer
    permission_classes = (IsAuthenticated, _may("sagas.view_inboxmessage"))
    parser_classes = (SagaJSONParser,)
    pagination_class = EventPagination
    filter_backends = (EventFilter,)
    filter_form: type[EventFilterSerializer] = LetterFilterSerializer
    throttle_classes = (SagaThrottle,)

    @property
    def throttle_scope(self) -> str | None:
        """Whom a project may bound."""
        return "saga-operate" if self.request.method == "POST" else None

    def _act(self, request: Request, pk: str, act: Callable[..., InboxMessage]) -> Response:
        form = ReasonSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        letter = act(_letter(pk).pk, by=request.user, reason=form.validated_data["reason"])
        return Response(LetterDetailSerializer(_letter(str(letter.pk))).data, status=202)


class DeliveryViewSet(ActedOn):
    """Deliveries of events, one for each subscriber."""

    filter_form = DeliveryFilterSerializer

    def list(self, request: Request) -> Response:
        """List the deliveries, newest first, page by page."""
        return super().list(request)

    def retrieve(self, request: Request, pk: str) -> Response:
        """Show a delivery, and what was done about it."""
        return Response(LetterDetailSerializer(_letter(pk)).data)

    @action(detail=True, methods=["post"])
    def hold(self, request: Request, pk: str) -> Response:
        """Keep a delivery from its subscriber until it is released. Later events of its key wait with it."""
        return self._act(request, pk, hold)

    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        """Have a delivery that was held made at once: 202, for that takes its time."""
        return self._act(request, pk, release)


class LetterViewSet(ActedOn):
    """Deliveries that were given up."""

    queryset = InboxMessage.objects.filter(status=InboxStatus.DEAD)

    def list(self, request: Request) -> Response:
        """List the dead letters, newest first, page by page."""
        return super().list(request)

    def retrieve(self, request: Request, pk: str) -> Response:
        """Show a dead letter, also when it was requeued or resolved, and what was done about it."""
        letter = _letter(pk)
        if letter.status != InboxStatus.DEAD and not letter.acts.exists():
            raise NotFound(_("There is no dead letter %(id)s.") % {"id": pk})
        return Response(LetterDetailSerializer(letter).data)

    @action(detail=True, methods=["post"])
    def requeue(self, request: Request, pk: str) -> Response:
        """Have a dead letter delivered again: 202, for that takes its time."""
        return self._act(request, pk, requeue)

    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: str) -> Response:
        """Say why a dead letter needs no delivery any more. Later events of its key go on."""
        return self._act(request, pk, resolve)


def _letter(pk: str) -> InboxMessage:
    found = InboxMessage.objects.filter(pk=pk).first() if pk.isdecimal() and len(pk) < 19 else None
    if found is None:
        raise NotFound(_("There is no delivery %(id)s.") % {"id": pk})
    return found
