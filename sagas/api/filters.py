"""What a list of sagas can be narrowed to."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request
from rest_framework.views import APIView

from sagas.api.fields import CommaSeparatedField
from sagas.api.serializers import StrictSerializer
from sagas.keys import MAX_KEY
from sagas.operations.selection import ANY, narrowed
from sagas.states import Attention, SagaStatus

ORDERINGS = ("-created_at", "created_at", "-updated_at", "updated_at")


class ParametersRefused(ValidationError):
    """The query string asks for something that does not exist."""


class PageSerializer(StrictSerializer):
    """Which part of a list."""

    cursor = serializers.CharField(required=False, help_text="From a link of the list.")
    page_size = serializers.IntegerField(
        min_value=1, required=False, help_text="50 unless said otherwise; never more than 200 are sent."
    )


class SelectionSerializer(StrictSerializer):
    """What sagas can be selected by."""

    definition = serializers.CharField(max_length=100, required=False)
    status = serializers.ChoiceField(choices=SagaStatus.choices, required=False)
    status__in = CommaSeparatedField(
        serializers.ChoiceField(choices=SagaStatus.choices), required=False, help_text="Several, with commas."
    )
    key = serializers.CharField(max_length=MAX_KEY, trim_whitespace=False, required=False)
    key__startswith = serializers.CharField(max_length=MAX_KEY, trim_whitespace=False, required=False)
    attention = serializers.ChoiceField(choices=[(ANY, ANY), *Attention.choices], required=False)
    current_step = serializers.CharField(max_length=100, required=False)
    error_class = serializers.CharField(max_length=200, required=False)
    error_fingerprint = serializers.CharField(
        max_length=16, required=False, help_text="What errors of one kind have in common."
    )
    created_after = serializers.DateTimeField(required=False, source="created_at__gt")
    created_before = serializers.DateTimeField(required=False, source="created_at__lt")
    updated_after = serializers.DateTimeField(
        required=False, source="updated_at__gt", help_text="Reads every saga where there is no other filter."
    )


class FilterSerializer(PageSerializer, SelectionSerializer):
    """The filters, each given once."""

    ordering = serializers.ChoiceField(choices=[(name, name) for name in ORDERINGS], required=False)


NOT_FILTERS = ("cursor", "page_size", "ordering")


class PageFilter(BaseFilterBackend):
    """Refuses parameters it does not know: a misspelt filter would else select everything."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        checked_parameters(request, PageSerializer)
        return queryset


class SagaFilter(BaseFilterBackend):
    """Narrows a list of sagas, and refuses what it does not know."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        wanted = checked_parameters(request, FilterSerializer)
        for name in NOT_FILTERS:
            wanted.pop(name, None)
        return narrowed(queryset, wanted)


def checked_parameters(request: Request, form_class: type[StrictSerializer]) -> dict[str, Any]:
    """Return the query string's parameters as the form reads them, or raise `ParametersRefused`."""
    given = request.query_params.dict()
    given.pop("format", None)
    if twice := [name for name in given if len(request.query_params.getlist(name)) > 1]:
        text = _("Give this parameter once.")
        raise ParametersRefused({name: [ErrorDetail(text, code="repeated")] for name in twice})
    form = form_class(data=given)
    if not form.is_valid():
        raise ParametersRefused(form.errors)
    return dict(form.validated_data)


class ExpandSerializer(StrictSerializer):
    """What a saga is to be shown with."""

    expand = serializers.ChoiceField(choices=[("steps", "steps")], required=False)


class HistoryQuerySerializer(StrictSerializer):
    """From where a history is to be told."""

    after = serializers.IntegerField(
        min_value=0, max_value=2**63 - 1, required=False, help_text="The `next_after` of the last answer."
    )
