"""The history of all sagas: who did what, and what went wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from sagas.admin.attempts import title_of
from sagas.admin.entries import change_of, operation_of, who
from sagas.admin.filters import Choices, Filter, OperationFilter
from sagas.admin.payloads import payload
from sagas.admin.readonly import ReadOnlyAdmin
from sagas.admin.step import by_saga
from sagas.admin.times import moment
from sagas.models import ActorKind, HistoryEntry
from sagas.models.history import ACTS
from sagas.redaction import declared_by, redacted

REASON_SHOWN = 80


class ActFilter(OperationFilter):
    """By what was asked."""

    def select(self, entries: QuerySet[Any], value: str) -> QuerySet[Any]:
        # Says nothing new, but in the words of the index that has these few.
        return entries.filter(kind__in=ACTS, operation=value)


class ActorFilter(Filter):
    """By what sort of actor it was: people and programs ask, and the engine does the rest."""

    title = _("actor kind")
    parameter_name = "actor_kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return ActorKind.choices

    def select(self, entries: QuerySet[Any], value: str) -> QuerySet[Any]:
        found = entries.filter(actor_kind=value)
        return found if value == ActorKind.ENGINE else found.filter(kind__in=ACTS)


class DayFilter(Filter):
    """By the day, in the project's time zone."""

    title = _("day")
    parameter_name = "day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("today", _("today")), ("yesterday", _("yesterday")), ("week", _("in the last 7 days"))]

    def select(self, entries: QuerySet[Any], value: str) -> QuerySet[Any]:
        today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
        match value:
            case "today":
                return entries.filter(at__gte=today)
            case "yesterday":
                return entries.filter(at__gte=today - timedelta(days=1), at__lt=today)
            case "week":
                return entries.filter(at__gte=today - timedelta(days=7))
        return entries


@admin.register(HistoryEntry)
class HistoryEntryAdmin(ReadOnlyAdmin):
    """Append-only, here as everywhere."""

    list_display = (
        "time",
        "saga_id_link",
        "kind",
        "actor_name",
        "asked",
        "change",
        "step_and_attempt",
        "why",
    )
    list_filter = ("kind", ActorFilter, ActFilter, DayFilter)
    lookups = frozenset({"kind__exact", "actor_kind", "operation", "day"})
    ordering = ("-id",)
    search_fields = ("saga_id__exact",)
    search_help_text = _("The full id of a saga.")
    fieldsets = (
        (None, {"fields": ("time", "saga_id_link", "kind")}),
        (_("Who and why"), {"fields": ("actor_kind", "actor", "asked", "reason")}),
        (_("What changed"), {"fields": ("change", "step_and_attempt", "data_json")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[HistoryEntry]:
        return super().get_queryset(request).defer("data")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return by_saga(queryset, search_term), False

    @admin.display(description=_("time"))
    def time(self, entry: HistoryEntry) -> str:
        return moment(entry.at)

    @admin.display(description=_("saga"))
    def saga_id_link(self, entry: HistoryEntry) -> SafeString:
        return self.saga_link(entry.saga_id)

    @admin.display(description=_("actor"))
    def actor_name(self, entry: HistoryEntry) -> str:
        return who(entry)

    @admin.display(description=_("change"))
    def change(self, entry: HistoryEntry) -> str:
        return change_of(entry)

    @admin.display(description=_("operation"))
    def asked(self, entry: HistoryEntry) -> Any:
        return operation_of(entry)

    @admin.display(description=_("step"))
    def step_and_attempt(self, entry: HistoryEntry) -> str:
        return title_of(entry)

    @admin.display(description=_("reason"))
    def why(self, entry: HistoryEntry) -> str:
        return Truncator(entry.reason).chars(REASON_SHOWN)

    @admin.display(description=_("data"))
    def data_json(self, entry: HistoryEntry) -> SafeString:
        return payload(redacted(entry.data, declared_by(entry.saga.definition)))
