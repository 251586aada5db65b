"""Filters of the list of sagas. Their choices come from the code, never from a search through the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.timezone import get_current_timezone, is_aware
from django.utils.translation import gettext_lazy as _

from sagas.admin.tabs import PARAMETER, TABS, Tab
from sagas.clock import DatabaseTime, database_now
from sagas.definitions import registry
from sagas.engine.recovery import overdue
from sagas.models import Saga
from sagas.operations.catalogue import OPERATIONS, STUCK_AFTER
from sagas.states import Attention, SagaStatus

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

Choices: TypeAlias = "Iterable[tuple[str, str | _StrPromise]]"

ANY = "any"
STUCK = "stuck"
MOST_ERRORS = 20
NEWEST = 10_000
LATEST = 200
"""Failed sagas in which the errors are looked for."""


class Filter(admin.SimpleListFilter):
    """A filter that is known by its parameter."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return self.select(queryset, value) if value else queryset

    def has_output(self) -> bool:
        """Whether it is shown, and asked: also for a value that is not among its choices."""
        return bool(self.value()) or super().has_output()

    def select(self, sagas: QuerySet[Any], value: str) -> QuerySet[Any]:
        """Return those that the value names."""
        return sagas.filter(**{str(self.parameter_name): value})


class TabFilter(Filter):
    """What the tabs select; the sidebar does not repeat them."""

    title = _("tab")
    parameter_name = PARAMETER
    template = "admin/sagas/no_filter.html"
    tabs: Mapping[str, Tab] = TABS

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return ()

    def has_output(self) -> bool:
        return True  # What has none is not asked either.

    def select(self, sagas: QuerySet[Any], value: str) -> QuerySet[Any]:
        return self.tabs[value].select(sagas) if value in self.tabs else sagas


class StatusFilter(Filter):
    """By status."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return SagaStatus.choices


class AttentionFilter(Filter):
    """By what a person has to look at."""

    title = _("attention")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [
            (ANY, _("needs attention")),
            (STUCK, _("stuck: due, and nobody moves it")),
            *Attention.choices,
        ]

    def select(self, sagas: QuerySet[Any], value: str) -> QuerySet[Any]:
        match value:
            case "any":
                return sagas.exclude(attention="")
            case "stuck":
                return sagas.filter(pk__in=overdue(STUCK_AFTER).order_by().values("pk"))
            case kind:
                return sagas.filter(attention=kind)


class OperationFilter(Filter):
    """By the operation: of lists of what was asked."""

    title = _("operation")
    parameter_name = "operation"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, str(operation.label)) for name, operation in OPERATIONS.items()]


class DefinitionFilter(Filter):
    """By definition."""

    title = _("definition")
    parameter_name = "definition"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, name) for name in sorted(registry)]


class ErrorFilter(Filter):
    """By the class of the error, where a saga halted on one: the most frequent ones of late."""

    title = _("error")
    parameter_name = "error_class"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        failed = Saga.objects.filter(status=SagaStatus.FAILED).exclude(error_class="")
        newest = Saga.objects.filter(pk__in=failed.order_by("-created_at").values("pk")[:LATEST]).order_by()
        found = newest.values("error_class").annotate(number=Count("pk")).order_by("-number", "error_class")
        return [(row["error_class"], row["error_class"]) for row in found[:MOST_ERRORS]]


class StepFilter(Filter):
    """By the step that failed; offered where the definition is chosen."""

    title = _("failed step")
    parameter_name = "failed_step"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        definition = request.GET.get("definition", "")
        if definition not in registry:
            return ()
        return [(name, name) for name in registry[definition].outline().steps]

    def select(self, sagas: QuerySet[Any], value: str) -> QuerySet[Any]:
        return sagas.filter(status=SagaStatus.FAILED, failed_step=value)


class CreatedFilter(Filter):
    """By when it was started: lately, or between two times given as ``from`` and ``to``."""

    title = _("created")
    parameter_name = "created"
    spans = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [
            ("hour", _("in the last hour")),
            ("day", _("in the last 24 hours")),
            ("week", _("in the last 7 days")),
        ]

    def select(self, sagas: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value in self.spans:
            return sagas.filter(created_at__gt=DatabaseTime() - self.spans[value])
        return sagas.filter(**{f"created_at__{end}": moment for end, moment in self.bounds(value)})

    @classmethod
    def bounds(cls, value: str) -> Iterator[tuple[str, datetime]]:
        """Yield what a value means: ``gt`` or ``lt``, and a time."""
        if value in cls.spans:
            yield "gt", database_now(Saga.objects.db) - cls.spans[value]
            return
        # "2026-11-01..2026-11-03": either end may be left out.
        since, _dots, before = value.partition("..")
        for end, text in (("gt", since), ("lt", before)):
            if text and (moment := _moment(text)) is not None:
                yield end, moment


class InitiatorFilter(Filter):
    """By who started it, of late; linked to from a saga's page, for the names are too many to list."""

    title = _("started by, of the newest 10,000")
    parameter_name = "started_by"

    def select(self, sagas: QuerySet[Any], value: str) -> QuerySet[Any]:
        # No index has the names, so the search ends where these sagas do. That is asked first: of a time that
        # it does not know the database thinks that a third of the table is after it.
        times = Saga.objects.order_by("-created_at").values_list("created_at", flat=True)
        since = next(iter(times[NEWEST : NEWEST + 1]), datetime.min.replace(tzinfo=UTC))
        return sagas.filter(started_by=value, created_at__gt=since)

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        asked = request.GET.get(self.parameter_name)
        return [(asked, asked)] if asked else ()


def active_filters(shown: ChangeList) -> list[tuple[str, str, str]]:
    """Return the filters that were chosen, as title, value and the address without each. Tabs are none."""
    return [
        (str(each.title), _chosen(each, shown), shown.get_query_string(remove=[str(each.parameter_name)]))
        for each in shown.filter_specs
        if isinstance(each, Filter) and not isinstance(each, TabFilter) and each.value()
    ]


def _chosen(each: Filter, shown: ChangeList) -> str:
    names = [choice["display"] for choice in each.choices(shown) if choice["selected"]]
    return str(names[0] if names else each.value())


def _moment(text: str) -> datetime | None:
    try:
        found = parse_datetime(text) or parse_datetime(f"{parse_date(text)}T00:00")
    except ValueError:
        return None
    if found is None or is_aware(found):
        return found
    return found.replace(tzinfo=get_current_timezone())
