"""Sagas: the list, and the page of one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.admin import detail, search
from sagas.admin.actions import OperationActions
from sagas.admin.badges import saga_badge
from sagas.admin.buttons import OperationButtons, apart_from_requests, operation_form
from sagas.admin.filters import AttentionFilter, DefinitionFilter, StatusFilter
from sagas.admin.payloads import payload
from sagas.admin.readonly import short
from sagas.admin.times import ago
from sagas.models import Saga

ERROR_SHOWN = 80


@admin.register(Saga)
class SagaAdmin(OperationActions, OperationButtons):
    """Find a saga, read why it stands where it stands, and have something done about it."""

    list_display = (
        "short_id",
        "definition_and_key",
        "status_and_attention",
        "progress",
        "last_error",
        "created",
    )
    list_display_links = ("short_id",)
    list_filter = (AttentionFilter, StatusFilter, DefinitionFilter)
    lookups = frozenset({"attention", "status", "definition"})
    sortable_by = ("created",)
    ordering = ("-created_at", "-id")
    search_fields = ("key",)  # The box is shown for it; what it finds is `search`'s to say.
    search_help_text = search.HELP
    detail_template = "admin/sagas/saga/detail.html"

    @admin.display(description=gettext_lazy("id"))
    def short_id(self, saga: Saga) -> SafeString:
        """The end of the id: all ids of a day begin alike."""
        return format_html('<code title="{}">{}</code>', saga.pk, short(saga.pk))

    @admin.display(description=gettext_lazy("definition and key"))
    def definition_and_key(self, saga: Saga) -> SafeString:
        return format_html('{}<div class="saga-key">{}</div>', saga.definition, saga.key or "")

    @admin.display(description=gettext_lazy("status"))
    def status_and_attention(self, saga: Saga) -> SafeString:
        badge = saga_badge(saga)
        if not saga.attention:
            return badge
        return format_html('{}<div class="saga-attention">{}</div>', badge, saga.get_attention_display())

    @admin.display(description=gettext_lazy("steps"))
    def progress(self, saga: Saga) -> SafeString:
        return format_html("{}<div>{}</div>", detail.progress(saga), saga.current_step)

    @admin.display(description=gettext_lazy("last error"))
    def last_error(self, saga: Saga) -> SafeString | None:
        if not saga.error_class:
            return None
        return format_html(
            '<span title="{}"><strong>{}</strong> {}</span>',
            saga.error,
            saga.error_class,
            Truncator(saga.error).chars(ERROR_SHOWN),
        )

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def created(self, saga: Saga) -> SafeString:
        return ago(saga.created_at)

    def get_urls(self) -> list[URLPattern]:
        return [*self.operation_urls(), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Saga]:
        return super().get_queryset(request).defer("input")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset.filter(search.criteria(search_term)), False

    @apart_from_requests
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, extra_context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a saga. Nothing is changed here: the buttons post to addresses of their own."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        saga = self.get_object(request, unquote(object_id))
        if saga is None:
            raise Http404(_("There is no saga %(id)s.") % {"id": object_id})
        if not self.has_view_permission(request, saga):
            raise PermissionDenied
        return TemplateResponse(
            request,
            self.detail_template,
            {
                **self.admin_site.each_context(request),
                "title": str(saga),
                "opts": self.opts,
                "media": self.media,
                "has_view_permission": True,
                "saga": saga,
                "badge": saga_badge(saga),
                "buttons": self.buttons(saga, by=request.user),
                "form": operation_form(saga),
                "groups": detail.groups(saga),
                "input": payload(saga.input),
                "steps": detail.step_rows(saga),
                "entries": detail.entry_rows(saga),
                "most_entries": detail.MOST_ENTRIES,
                **(extra_context or {}),
            },
        )

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the saga's own history: Django's log of edits has nothing to tell of it."""
        saga = self.get_object(request, unquote(object_id))
        if saga is None:
            raise Http404(_("There is no saga %(id)s.") % {"id": object_id})
        return HttpResponseRedirect(self.saga_url(saga.pk) + "#history")
