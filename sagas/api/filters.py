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

from sagas.api.serializers import StrictSerializer
from sagas.keys import MAX_KEY
from sagas.states import Attention, SagaStatus

ANY = "any"
NO_FILTERS = ("cursor", "page_size", "format")


class ParametersRefused(ValidationError):
    """The query string asks for something that does not exist."""


class FilterSerializer(StrictSerializer):
    """The filters, each given once."""

    definition = serializers.CharField(max_length=100, required=False)
    status = serializers.ChoiceField(choices=SagaStatus.choices, required=False)
    key = serializers.CharField(max_length=MAX_KEY, trim_whitespace=False, required=False)
    attention = serializers.ChoiceField(choices=[(ANY, ANY), *Attention.choices], required=False)


class SagaFilter(BaseFilterBackend):
    """Refuses what it does not know: a misspelt filter would else select everything."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        given = {name: value for name, value in request.query_params.items() if name not in NO_FILTERS}
        if twice := [name for name in given if len(request.query_params.getlist(name)) > 1]:
            text = _("Give this filter once.")
            raise ParametersRefused({name: [ErrorDetail(text, code="repeated")] for name in twice})
        form = FilterSerializer(data=given)
        if not form.is_valid():
            raise ParametersRefused(form.errors)
        wanted = form.validated_data
        if wanted.get("attention") == ANY:
            del wanted["attention"]
            queryset = queryset.exclude(attention="")
        return queryset.filter(**wanted)
