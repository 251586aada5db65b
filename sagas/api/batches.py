"""Batches over HTTP: one operation asked of many sagas, looked at first and then started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from sagas.api.fields import IdField, TextField
from sagas.api.filters import PageFilter, PageSerializer, SelectionSerializer, checked_parameters
from sagas.api.headers import idempotency_key
from sagas.api.operating import ALIASES, MOST_OF_A_REASON, body_of, form_for, require_reason
from sagas.api.pagination import LatestPagination, NumberPagination
from sagas.api.parsers import SagaJSONParser
from sagas.api.permissions import MayView
from sagas.api.problems import ProblemViews
from sagas.api.repeats import promptly
from sagas.api.serializers import BatchItemSerializer, BatchSerializer, StrictSerializer
from sagas.api.throttles import SagaThrottle
from sagas.clock import utc
from sagas.models import BatchStatus, ItemState, SagaBatch
from sagas.operations import batches
from sagas.operations.batch_plans import BatchPlan, plan
from sagas.operations.catalogue import OPERATIONS, Operation
from sagas.operations.drafting import draft, samples
from sagas.operations.previewing import Preview
from sagas.operations.selection import MOST_IDS, Selection
from sagas.states import SagaStatus

MOST_A_SECOND = 1_000


class BatchFilterSerializer(SelectionSerializer):
    """Which sagas: those of which all of this is true."""

    status__in = serializers.ListField(  # type: ignore[assignment]
        child=serializers.ChoiceField(choices=SagaStatus.choices), min_length=1, required=False
    )


class NewBatchSerializer(StrictSerializer):
    """An operation, and the sagas it is to be asked of: by ids or by a filter."""

    operation = serializers.ChoiceField(choices=[(name, name) for name in sorted({*OPERATIONS, *ALIASES})])
    arguments = serializers.DictField(default=dict, help_text="What the operation takes, for every saga.")
    reason = TextField(max_length=MOST_OF_A_REASON, allow_blank=True, default="")
    ids = serializers.ListField(
        child=IdField(), min_length=1, required=False, help_text=f"At most {MOST_IDS}."
    )
    filter = BatchFilterSerializer(required=False)
    cutoff_at = serializers.DateTimeField(
        required=False, help_text="When you looked: what has changed since is left alone. Now, if not given."
    )
    rate = serializers.IntegerField(
        min_value=1, max_value=MOST_A_SECOND, required=False, help_text="Sagas a second."
    )
    dry_run = serializers.BooleanField(
        default=True, help_text="Only say what it would be. `false` starts it."
    )


class ItemQuerySerializer(PageSerializer):
    """Which items of a batch."""

    state = serializers.ChoiceField(choices=ItemState.choices, required=False)


# Not in a transaction of the request: whoever starts a batch leaves a wake-up when that is committed.
@method_decorator(transaction.non_atomic_requests(using=SagaBatch.objects.db), name="dispatch")
class BatchViewSet(ProblemViews, mixins.ListModelMixin, viewsets.GenericViewSet[SagaBatch]):
    """Look at what batches would do, start them, follow them, suspend, resume and stop them."""

    queryset = SagaBatch.objects.all()
    serializer_class = BatchSerializer
    permission_classes = (IsAuthenticated, MayView)
    parser_classes = (SagaJSONParser,)
    pagination_class = LatestPagination
    filter_backends = (PageFilter,)
    throttle_classes = (SagaThrottle,)
    lookup_value_regex = "[^/]+"  # What is no number is answered with a problem too.

    @property
    def throttle_scope(self) -> str | None:
        """Whom a project may bound: those who operate."""
        return "saga-operate" if self.request.method == "POST" else None

    def list(self, request: Request) -> Response:
        """List batches, the latest first, page by page."""
        return super().list(request)

    def create(self, request: Request) -> Response:
        """Say what a batch would be: 200, and nothing is stored. With `dry_run: false` it is started: 202."""
        form = NewBatchSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked: dict[str, Any] = form.validated_data
        operation = OPERATIONS[ALIASES.get(asked["operation"], asked["operation"])]
        key = idempotency_key(request)
        wanted: dict[str, Any] = {
            "operation": operation.name,
            "selection": Selection(tuple(asked.get("ids", ())), asked.get("filter", {})),
            "by": request.user,
            "arguments": _arguments(operation, asked["arguments"]),
            "cutoff_at": asked.get("cutoff_at"),
            "rate": asked.get("rate"),
        }
        if asked["dry_run"]:
            return Response(_plan_body(plan(**wanted)))
        require_reason(operation, asked["reason"])
        with promptly():
            batch = draft(**wanted, reason=asked["reason"], key=key)
            if batch.status == BatchStatus.DRAFT:
                batch = batches.start(batch.pk, by=request.user)
        response = Response(self._body(batch), status=202)
        response["Location"] = response.data["url"]
        if batch.is_repeated:
            response["Idempotency-Replayed"] = "true"
        return response

    def retrieve(self, request: Request, pk: str) -> Response:
        """Show a batch: what it was drafted for, what came of it, and of a draft what would be done."""
        return Response(self._body(self._found(pk)))

    @action(detail=True, pagination_class=NumberPagination, filter_backends=())
    def items(self, request: Request, pk: str) -> Response:
        """List the sagas of a batch and what came of each, page by page."""
        wanted = checked_parameters(request, ItemQuerySerializer)
        items = self._found(pk).items.all()
        if "state" in wanted:
            items = items.filter(state=wanted["state"])
        assert self.paginator is not None
        page = self.paginator.paginate_queryset(items, request, view=self)
        return self.get_paginated_response(BatchItemSerializer(page, many=True).data)

    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        """Start a draft, as the console makes them: 202. What runs already runs on."""
        return self._changed(request, pk, batches.start)

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Go on with a batch that was suspended: 202. What runs already runs on."""
        return self._changed(request, pk, batches.resume)

    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, pk: str) -> Response:
        """Leave the rest of a batch until it is resumed."""
        return self._changed(request, pk, batches.suspend)

    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        """Leave the rest of a batch for good: it is skipped."""
        return self._changed(request, pk, batches.stop)

    def _changed(self, request: Request, pk: str, change: Callable[..., SagaBatch]) -> Response:
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        batch = change(self._found(pk).pk, by=request.user)
        return Response(self._body(batch), status=202)

    def _found(self, pk: str) -> SagaBatch:
        batch = SagaBatch.objects.filter(pk=pk).first() if pk.isdecimal() and len(pk) < 19 else None
        if batch is None:
            raise NotFound(_("There is no batch %(id)s.") % {"id": pk})
        return batch

    def _body(self, batch: SagaBatch) -> dict[str, Any]:
        came_to = batches.outcome(batch)
        shown = samples(batch, by=self.request.user) if batch.status == BatchStatus.DRAFT else []
        return {
            **BatchSerializer(context={"request": self.request}).to_representation(batch),
            "healed": came_to.healed,
            "failed_again": came_to.failed_again,
            "groups": batch.groups,
            "log": batch.log,
            "samples": _samples(shown),
        }


class NothingSerializer(StrictSerializer):
    """A body without a field."""


def _arguments(operation: Operation, given: dict[str, Any]) -> dict[str, Any]:
    """Return the operation's arguments as its own endpoint would take them."""
    form = form_for(operation)(data=given)
    if not form.is_valid():
        raise serializers.ValidationError({"arguments": form.errors})
    return {name: value for name, value in form.validated_data.items() if name in operation.arguments}


def _plan_body(found: BatchPlan) -> dict[str, Any]:
    batch, refusal = found.batch, found.refusal
    return {
        "dry_run": True,
        "allowed": refusal is None,
        "refusal": {"code": refusal.code, "detail": str(refusal)} if refusal else None,
        "operation": batch.operation,
        "arguments": batch.arguments,
        "selection": batch.selection,
        "cutoff_at": utc(batch.cutoff_at),
        "rate": batch.rate,
        "total": batch.total,
        "skipped": batch.skipped,
        "groups": batch.groups,
        "samples": _samples(found.samples),
    }


def _samples(previews: list[tuple[UUID, Preview]]) -> list[dict[str, Any]]:
    return [{"saga": str(pk), **body_of(preview)} for pk, preview in previews]
