"""Filters of the list of sagas. Their choices come from the code, never from a search through the table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from sagas.definitions import registry
from sagas.engine.recovery import overdue
from sagas.operations.catalogue import STUCK_AFTER
from sagas.states import Attention, SagaStatus

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

Choices: TypeAlias = "Iterable[tuple[str, str | _StrPromise]]"

ANY = "any"
STUCK = "stuck"


class StatusFilter(admin.SimpleListFilter):
    """By status."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return SagaStatus.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(status=self.value()) if self.value() else queryset


class AttentionFilter(admin.SimpleListFilter):
    """By what a person has to look at."""

    title = _("attention")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [
            (ANY, _("needs attention")),
            (STUCK, _("stuck: due, and nobody moves it")),
            *Attention.choices,
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case None:
                return queryset
            case "any":
                return queryset.exclude(attention="")
            case "stuck":
                return queryset.filter(pk__in=overdue(STUCK_AFTER).order_by().values("pk"))
            case kind:
                return queryset.filter(attention=kind)


class DefinitionFilter(admin.SimpleListFilter):
    """By definition."""

    title = _("definition")
    parameter_name = "definition"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, name) for name in sorted(registry)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(definition=self.value()) if self.value() else queryset
