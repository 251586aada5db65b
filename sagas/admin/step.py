"""Steps of all sagas, to look across them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from sagas.admin.badges import step_badge
from sagas.admin.filters import Choices, Filter
from sagas.admin.payloads import payload
from sagas.admin.readonly import ReadOnlyAdmin
from sagas.admin.search import full_id
from sagas.admin.times import moment
from sagas.models import Saga, SagaStep
from sagas.redaction import declared_by, redacted
from sagas.states import StepStatus

ERROR_SHOWN = 80
LATEST = 1_000
"""Sagas among whose steps a status is looked for: no index has it, for it changes with every step."""


class StatusFilter(Filter):
    """By status, among the newest sagas."""

    title = _("status, in the newest 1,000 sagas")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return StepStatus.choices

    def select(self, steps: QuerySet[Any], value: str) -> QuerySet[Any]:
        # Read before, for in one statement PostgreSQL would rather walk through all steps.
        newest = list(Saga.objects.order_by("-created_at").values_list("pk", flat=True)[:LATEST])
        return steps.filter(saga__in=newest, status=value)


@admin.register(SagaStep)
class SagaStepAdmin(ReadOnlyAdmin):
    """A step is read on its saga's page; here one sees those in the same plight."""

    list_display = (
        "name",
        "saga_id_link",
        "badge",
        "attempts",
        "undo_attempts",
        "due",
        "last_error",
    )
    list_filter = (StatusFilter,)
    lookups = frozenset({"status"})
    ordering = ("-saga_id", "stage", "id")
    search_fields = ("saga_id__exact",)
    search_help_text = _("The full id of a saga.")
    fieldsets = (
        (None, {"fields": ("saga_id_link", "name", "stage", "badge", "waits_for", "in_doubt", "due")}),
        (_("Attempts"), {"fields": (("attempts", "crashes"), ("undo_attempts", "undo_crashes"), "sent_at")}),
        (_("What came of it"), {"fields": ("result_json", "error_class", "error")}),
        (_("Keys"), {"fields": ("idempotency_key", "undo_key")}),
        (_("Times"), {"fields": (("started_at", "ended_at"), ("undo_started_at", "undo_ended_at"))}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[SagaStep]:
        return super().get_queryset(request).defer("result")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return by_saga(queryset, search_term), False

    @admin.display(description=_("saga"))
    def saga_id_link(self, step: SagaStep) -> SafeString:
        return self.saga_link(step.saga_id)

    @admin.display(description=_("status"))
    def badge(self, step: SagaStep) -> SafeString:
        return step_badge(step)

    @admin.display(description=_("due"))
    def due(self, step: SagaStep) -> str:
        return moment(step.due_at)

    @admin.display(description=_("last error"))
    def last_error(self, step: SagaStep) -> str:
        return f"{step.error_class} {Truncator(step.error).chars(ERROR_SHOWN)}".strip()

    @admin.display(description=_("result"))
    def result_json(self, step: SagaStep) -> SafeString | None:
        if step.result is None:
            return None
        return payload(redacted(step.result, declared_by(step.saga.definition)))


def by_saga(queryset: QuerySet[Any], words: str) -> QuerySet[Any]:
    """Select what belongs to the saga whose full id the words are; words that are no id find nothing."""
    if not words:
        return queryset
    saga_id = full_id(words)
    return queryset.none() if saga_id is None else queryset.filter(saga_id=saga_id)
