"""Sagas: the list, and the page of one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseNotModified,
    HttpResponseRedirect,
    JsonResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sagas.admin import detail, search
from sagas.admin.actions import OperationActions
from sagas.admin.columns import SagaColumns, tell_attempts
from sagas.admin.dashboard import DashboardAdmin
from sagas.admin.export import EXPORTS
from sagas.admin.filters import (
    AttentionFilter,
    CreatedFilter,
    DefinitionFilter,
    ErrorFilter,
    InitiatorFilter,
    StatusFilter,
    StepFilter,
    TabFilter,
    active_filters,
)
from sagas.admin.operating import OperatingAdmin, apart_from_requests
from sagas.admin.starting import StartingAdmin
from sagas.admin.tabs import PARAMETER, TABS, counted, shown_tabs
from sagas.admin.times import span
from sagas.clock import DatabaseTime
from sagas.engine.locked import Locked
from sagas.engine.recovery import overdue
from sagas.models import HistoryEntry, Hold, Saga
from sagas.operations.actors import Actor
from sagas.operations.catalogue import OPERATIONS
from sagas.operations.privacy import shown_to
from sagas.states import SagaStatus

LATE = timedelta(seconds=30)
"""Due for longer than this and taken by nobody: then operators are told."""


@admin.register(Saga)
class SagaAdmin(SagaColumns, OperationActions, DashboardAdmin, StartingAdmin, OperatingAdmin):
    """Find a saga, read why it stands where it stands, and have something done about it."""

    list_display = (
        "short_id",
        "copy",
        "definition_and_key",
        "status_and_attention",
        "progress",
        "last_error",
        "created",
    )
    list_display_links = ("short_id",)
    list_filter = (
        TabFilter,
        AttentionFilter,
        StatusFilter,
        DefinitionFilter,
        StepFilter,
        ErrorFilter,
        CreatedFilter,
        InitiatorFilter,
    )
    lookups = frozenset(str(each.parameter_name) for each in list_filter)
    actions = [*OperationActions.actions, *EXPORTS]
    sortable_by = ("created",)
    ordering = ("-created_at", "-id")
    search_fields = ("key",)  # The box is shown for it; what it finds is `search`'s to say.
    search_help_text = search.HELP
    detail_template = "admin/sagas/saga/detail.html"
    live_template = "admin/sagas/saga/live.html"
    change_list_template = "admin/sagas/saga/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        return [
            *self.operation_urls(),
            *self.start_urls(),
            *self.dashboard_urls(),
            path("<uuid:saga_id>/live/", guarded(self.live_view), name="sagas_saga_live"),
            path("<uuid:saga_id>/data/", guarded(self.data_view), name="sagas_saga_data"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Saga]:
        return super().get_queryset(request).defer("input")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found = queryset.annotate(now=DatabaseTime())
        return found.filter(search.criteria(search_term)), False

    @apart_from_requests
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List sagas; whoever can do something about them is first shown those that need it."""
        if request.method == "GET" and not request.GET and _may_operate(request):
            return HttpResponseRedirect(f"{request.path}?{PARAMETER}=attention")
        response = super().changelist_view(request, extra_context)
        # Rendered only now: an action answers otherwise, and needs none of it.
        if isinstance(response, TemplateResponse) and response.context_data:
            response.context_data |= self._around_the_list(request, response.context_data["cl"])
        return response

    def _around_the_list(self, request: HttpRequest, shown: ChangeList) -> dict[str, Any]:
        tab = request.GET.get(PARAMETER)
        counts = counted(TABS, self.get_queryset(request), late=overdue(LATE))
        late = counts["late"]
        tell_attempts(shown.result_list)
        return {
            "tabs": shown_tabs(TABS, counts, tab),
            "active": active_filters(shown),
            "empty": "" if shown.result_list else self._nothing(tab),
            "late": ngettext(
                "%(number)d saga has been due for more than %(time)s, and no worker took it.",
                "%(number)d sagas have been due for more than %(time)s, and no worker took them.",
                late,
            )
            % {"number": late, "time": span(LATE)}
            if late
            else "",
            "holds": Hold.objects.filter(Q(until=None) | Q(until__gt=DatabaseTime())),
            "dashboard_url": self.url_of("saga_dashboard"),
            "start_url": self.start_url() if self.may_start(request) else "",
        }

    def _nothing(self, tab: str | None) -> str:
        """Say that there is nothing; where all is well, for how long that has been so."""
        said = str(TABS[tab].empty) if tab in TABS else _("No saga is like that.")
        if tab != "attention":
            return said
        halts = HistoryEntry.objects.filter(to_status=SagaStatus.FAILED).order_by("-at")
        last = halts.annotate(now=DatabaseTime()).values_list("now", "at").first()
        if last is None:
            return said
        return _("%(nothing)s The last one halted %(time)s ago.") % {
            "nothing": said,
            "time": span(last[0] - last[1]),
        }

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a saga. Nothing is changed here: the buttons lead to pages of their own."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        locked = self.look(request, _id(object_id))
        return self.page(
            request,
            self.detail_template,
            title=str(locked.saga),
            live_url=self.url_of("saga_live", locked.saga.pk),
            **self._shown(request, locked),
            **(extra_context or {}),
        )

    def live_view(self, request: HttpRequest, saga_id: UUID) -> HttpResponse:
        """Show the part of a saga's page that changes, or say that it has not: for the page's script."""
        locked = self.look(request, saga_id)
        etag = f'"{locked.saga.revision}-{int(locked.saga.held_by is not None)}"'
        if request.headers.get("If-None-Match") == etag:
            return HttpResponseNotModified(headers={"ETag": etag})
        context = {"opts": self.opts, **self._shown(request, locked)}
        headers = {"ETag": etag, "X-Saga-Ended": str(int(not locked.saga.is_live))}
        return TemplateResponse(request, self.live_template, context, headers=headers)

    def data_view(self, request: HttpRequest, saga_id: UUID) -> HttpResponse:
        """Send a saga's input and results as a file, as far as the user may see them."""
        locked = self.look(request, saga_id)
        headers = {"Content-Disposition": f'attachment; filename="saga-{saga_id}.json"'}
        found = detail.data_of(locked, shown_to(request.user, locked.saga))
        options = {"ensure_ascii": False, "indent": 2}
        return JsonResponse(found, headers=headers, json_dumps_params=options)

    def _shown(self, request: HttpRequest, locked: Locked) -> dict[str, Any]:
        shown = shown_to(request.user, locked.saga)
        page = detail.Detail(locked, shown, detail.Asked.of(request.GET))
        return {
            **page.context,
            # What can be done stands before what cannot.
            "buttons": sorted(self.buttons(locked, by=request.user), key=lambda each: bool(each.why_not)),
            "data_url": self.url_of("saga_data", locked.saga.pk),
        }

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the saga's own history: Django's log of edits has nothing to tell of it."""
        locked = self.look(request, _id(object_id))
        return HttpResponseRedirect(self.saga_url(locked.saga.pk) + "#history")


def _id(object_id: str) -> UUID:
    try:
        return UUID(unquote(object_id))
    except ValueError:
        raise Http404(_("There is no saga %(id)s.") % {"id": object_id}) from None


def _may_operate(request: HttpRequest) -> bool:
    actor = Actor.of(request.user)
    return any(actor.may(operation.permission) for operation in OPERATIONS.values())
