"""Batches: what is asked of many sagas, looked at before it is started, and followed until it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseNotModified,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from sagas.admin.actions import batch_url
from sagas.admin.badges import batch_badge
from sagas.admin.filters import OperationFilter
from sagas.admin.operating import apart_from_requests, effects_of
from sagas.admin.operation_forms import MOST_REASON
from sagas.admin.readonly import ReadOnlyAdmin, short
from sagas.admin.times import ago, moment
from sagas.clock import DatabaseTime
from sagas.engine.heartbeat import ALIVE_FOR
from sagas.exceptions import BatchRefused, PermissionRefused
from sagas.models import BatchStatus, ItemState, Saga, SagaBatch, SagaBatchItem, Worker
from sagas.operations import batches
from sagas.operations.catalogue import OPERATIONS
from sagas.operations.drafting import draft, samples
from sagas.operations.selection import Selection
from sagas.states import SagaStatus

SMALL = 100
"""Of more sagas their number has to be typed before it begins."""
MOST_ITEMS = 50
MOST_GROUPS = 50

ACTS: dict[str, Callable[..., SagaBatch]] = {
    "start": batches.start,
    "suspend": batches.suspend,
    "stop": batches.stop,
}


class StartForm(forms.Form):
    """Why, and for many sagas how many: so that nobody starts more than they mean."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Kept in the history of every saga, with your name."),
        max_length=MOST_REASON,
        widget=forms.Textarea({"rows": 2}),
    )

    def __init__(self, batch: SagaBatch, data: Any = None) -> None:
        super().__init__(data, initial={"reason": batch.reason})
        self._batch = batch
        if batch.left > SMALL:
            label = _("Type %(number)d to confirm") % {"number": batch.left}
            widget = forms.TextInput({"autocomplete": "off", "inputmode": "numeric"})
            self.fields["number"] = forms.IntegerField(label=label, widget=widget)

    def clean_number(self) -> int:
        """Check that the number is the batch's."""
        given: int = self.cleaned_data["number"]
        if given != self._batch.left:
            raise forms.ValidationError(_("It is for %(number)d sagas.") % {"number": self._batch.left})
        return given


@admin.register(SagaBatch)
class SagaBatchAdmin(ReadOnlyAdmin):
    """Batches, the newest first."""

    list_display = ("number", "asked", "status_badge", "progress", "actor", "why", "created")
    list_filter = ("status", OperationFilter)
    lookups = frozenset({"status__exact", "operation"})
    ordering = ("-id",)
    page_template = "admin/sagas/sagabatch/detail.html"
    live_template = "admin/sagas/sagabatch/live.html"

    @admin.display(description=gettext_lazy("batch"))
    def number(self, batch: SagaBatch) -> str:
        return str(batch.pk)

    @admin.display(description=gettext_lazy("operation"))
    def asked(self, batch: SagaBatch) -> Any:
        return OPERATIONS[batch.operation].label

    @admin.display(description=gettext_lazy("status"))
    def status_badge(self, batch: SagaBatch) -> SafeString:
        return batch_badge(BatchStatus(batch.status))

    @admin.display(description=gettext_lazy("progress"))
    def progress(self, batch: SagaBatch) -> str:
        return f"{batch.total - batch.left}/{batch.total}"

    @admin.display(description=gettext_lazy("reason"))
    def why(self, batch: SagaBatch) -> str:
        return batch.reason

    @admin.display(description=gettext_lazy("created"))
    def created(self, batch: SagaBatch) -> SafeString:
        return ago(batch.created_at)

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        return [
            path("draft/", guarded(self.draft_view), name="sagas_sagabatch_draft"),
            path("<int:batch_id>/live/", guarded(self.live_view), name="sagas_sagabatch_live"),
            path("<int:batch_id>/ask/<slug:act>/", guarded(self.act_view), name="sagas_sagabatch_act"),
            *super().get_urls(),
        ]

    @apart_from_requests
    def draft_view(self, request: HttpRequest) -> HttpResponse:
        """Draft a batch for the sagas that failed alike, and lead to its page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        operation, fingerprint = request.POST.get("operation", ""), request.POST.get("error_fingerprint", "")
        if operation not in OPERATIONS or not fingerprint:
            raise Http404(_("There is no such operation."))
        selection = Selection(filter={"status": SagaStatus.FAILED.value, "error_fingerprint": fingerprint})
        try:
            batch = draft(operation, selection, by=request.user, key=request.POST.get("once") or None)
        except PermissionRefused as refusal:
            raise PermissionDenied(str(refusal)) from refusal
        except BatchRefused as refusal:
            self.message_user(request, str(refusal), messages.WARNING)
            url = self.url_of("saga_dashboard")
            return HttpResponseRedirect(url, status=303)
        return HttpResponseRedirect(batch_url(batch, self.admin_site.name), status=303)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a batch."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        batch = self._batch(request, object_id)
        return self._page(request, batch, StartForm(batch) if batch.status in _STARTABLE else None)

    @apart_from_requests
    def act_view(self, request: HttpRequest, batch_id: int, act: str) -> HttpResponse:
        """Start a batch, suspend it, or stop it."""
        if act not in ACTS:
            raise Http404(_("There is no such operation."))
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        batch = self._batch(request, str(batch_id))
        more = {}
        if act == "start":
            form = StartForm(batch, request.POST)
            if not form.is_valid():
                return self._page(request, batch, form)
            more["reason"] = form.cleaned_data["reason"]
        try:
            ACTS[act](batch.pk, by=request.user, **more)
        except PermissionRefused as refusal:
            raise PermissionDenied(str(refusal)) from refusal
        except BatchRefused as refusal:
            self.message_user(request, str(refusal), messages.WARNING)
        return HttpResponseRedirect(batch_url(batch, self.admin_site.name), status=303)

    def live_view(self, request: HttpRequest, batch_id: int) -> HttpResponse:
        """Show the part of the page that changes, or say that it has not: for the page's script."""
        batch = self._batch(request, str(batch_id))
        etag = f'"{batch.status}-{batch.left}"'
        is_over = batch.status in (BatchStatus.DONE, BatchStatus.CANCELLED)
        headers = {"ETag": etag, "X-Saga-Ended": str(int(is_over))}
        if request.headers.get("If-None-Match") == etag:
            return HttpResponseNotModified(headers=headers)
        context = {"opts": self.opts, **self._shown(request, batch)}
        return TemplateResponse(request, self.live_template, context, headers=headers)

    def _batch(self, request: HttpRequest, object_id: str) -> SagaBatch:
        found: SagaBatch | None = self.get_object(request, object_id)
        if found is None:
            raise Http404(_("There is no batch %(id)s.") % {"id": object_id})
        if not self.has_view_permission(request, found):
            raise PermissionDenied
        return found

    def _page(self, request: HttpRequest, batch: SagaBatch, form: StartForm | None) -> HttpResponse:
        return self.page(
            request,
            self.page_template,
            title=_title(batch),
            form=form,
            live_url=self.url_of("sagabatch_live", batch.pk),
            **self._shown(request, batch),
        )

    def _shown(self, request: HttpRequest, batch: SagaBatch) -> dict[str, Any]:
        state = request.GET.get("state")
        items = batch.items.order_by("id")
        if state in ItemState.values:
            items = items.filter(state=state)
        is_draft = batch.status == BatchStatus.DRAFT
        alive = Worker.objects.filter(beat_at__gt=DatabaseTime() - ALIVE_FOR).exists()
        return {
            "batch": batch,
            "badge": batch_badge(BatchStatus(batch.status)),
            "label": OPERATIONS[batch.operation].label,
            "summary": _summary(batch) if is_draft else [],
            "groups": [{**each, "status": _status(each)} for each in batch.groups[:MOST_GROUPS]],
            "cutoff": moment(batch.cutoff_at),
            "samples": self._samples(request, batch) if is_draft else [],
            "outcome": None if is_draft else batches.outcome(batch),
            "done": batch.total - batch.left,
            "items": [] if is_draft and not state else _items(items[:MOST_ITEMS]),
            "states": [("", _("All")), *ItemState.choices],
            "state": state or "",
            "no_worker": not alive and batch.status == BatchStatus.RUNNING,
            "is_over": batch.status in (BatchStatus.DONE, BatchStatus.CANCELLED),
            "acts": [
                (self.url_of("sagabatch_act", batch.pk, act), label)
                for act, label, offered in (
                    ("suspend", _("Suspend"), batch.status == BatchStatus.RUNNING),
                    ("stop", _("Discard") if is_draft else _("Stop"), batch.status in _STOPPABLE),
                )
                if offered
            ],
            "start_url": self.url_of("sagabatch_act", batch.pk, "start"),
        }

    def _samples(self, request: HttpRequest, batch: SagaBatch) -> list[tuple[str, str, Any]]:
        return [
            (self.saga_url(saga_id), short(saga_id), list(effects_of(plan)))
            for saga_id, plan in samples(batch, by=request.user)
            if plan.refusal is None
        ]


_STARTABLE = (BatchStatus.DRAFT, BatchStatus.SUSPENDED)
_STOPPABLE = (*_STARTABLE, BatchStatus.RUNNING)


def _title(batch: SagaBatch) -> str:
    wanted = batch.total - batch.skipped if batch.status == BatchStatus.DRAFT else batch.total
    text = ngettext("%(operation)s %(number)d saga", "%(operation)s %(number)d sagas", wanted)
    return text % {"operation": OPERATIONS[batch.operation].label, "number": wanted}


def _status(group: Mapping[str, Any]) -> Any:
    return SagaStatus(group["status"]).label if group["status"] in SagaStatus.values else group["status"]


def _summary(batch: SagaBatch) -> list[str]:
    """Say what a draft would do, and what it leaves out."""
    wanted = batch.total - batch.skipped
    text = ngettext(
        "%(operation)s %(number)d saga as it stood at %(time)s. Nothing has happened yet.",
        "%(operation)s %(number)d sagas as they stood at %(time)s. Nothing has happened yet.",
        wanted,
    )
    told = {"operation": OPERATIONS[batch.operation].label, "number": wanted}
    at = timezone.localtime(batch.cutoff_at).strftime("%Y-%m-%d %H:%M:%S")
    sentences = [text % {**told, "time": at}]
    if batch.skipped:
        left_out = ngettext(
            "%(number)d of the %(total)d that were selected is skipped:",
            "%(number)d of the %(total)d that were selected are skipped:",
            batch.skipped,
        )
        sentences.append(left_out % {"number": batch.skipped, "total": batch.total})
        sentences += [
            _("%(number)d: %(why)s")
            % {"number": group["number"], "why": group.get("message") or _("there is nothing to ask of them")}
            for group in batch.groups[:MOST_GROUPS]
            if group["skipped"]
        ]
    return sentences


def _items(items: Iterable[SagaBatchItem]) -> list[tuple[SagaBatchItem, Saga | None]]:
    """Return the items, each with its saga as it is now, if that is still there."""
    items = list(items)
    sagas = Saga.objects.defer("input").in_bulk([item.saga_id for item in items])
    return [(item, sagas.get(item.saga_id)) for item in items]
