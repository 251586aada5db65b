"""Holds: what nothing new goes forward at, set and released by hand."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from sagas.admin.operating import apart_from_requests
from sagas.admin.operation_forms import MOST_REASON
from sagas.admin.readonly import ReadOnlyAdmin
from sagas.admin.times import NOTHING, ago, moment
from sagas.definitions import holdable
from sagas.models import Hold
from sagas.operations.actors import Actor
from sagas.operations.holding import PERMISSION, hold, release


class HoldForm(forms.Form):
    """What is held, why, and until when."""

    what = forms.ChoiceField(label=gettext_lazy("Hold"))
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Shown to every operator while it is held."),
        max_length=MOST_REASON,
        widget=forms.Textarea({"rows": 2}),
    )
    until = forms.DateTimeField(
        label=gettext_lazy("Until"),
        help_text=gettext_lazy("Left empty, it is held until somebody releases it."),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}),
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        known = holdable()
        self.fields["what"].choices = [  # type: ignore[attr-defined]
            (_("Definitions"), [(f"definition:{name}", name) for name in sorted(known["definition"])]),
            (_("Participants"), [(f"participant:{name}", name) for name in sorted(known["participant"])]),
        ]


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    """The holds in force, and those whose time is over."""

    list_display = ("what", "by", "reason", "since", "ends")
    list_display_links = None
    ordering = ("-id",)
    change_list_template = "admin/sagas/hold/change_list.html"
    form_template = "admin/sagas/hold/form.html"

    @admin.display(description=gettext_lazy("held"))
    def what(self, held: Hold) -> SafeString:
        url = self.url_of("hold_release", held.pk)
        return format_html('{} <a href="{}">{}</a>', held, url, _("Release…"))

    @admin.display(description=gettext_lazy("since"))
    def since(self, held: Hold) -> SafeString:
        return ago(held.at)

    @admin.display(description=gettext_lazy("until"))
    def ends(self, held: Hold) -> SafeString | str:
        return NOTHING if held.until is None else moment(held.until)

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        return [
            path("hold/", guarded(self.hold_view), name="sagas_hold_hold"),
            path("<int:hold_id>/release/", guarded(self.release_view), name="sagas_hold_release"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        may_hold = Actor.of(request.user).may(PERMISSION)
        hold_url = self.url_of("hold_hold") if may_hold else ""
        return super().changelist_view(request, {"hold_url": hold_url} | (extra_context or {}))

    @apart_from_requests
    def hold_view(self, request: HttpRequest) -> HttpResponse:
        """Ask what is to be held; on POST hold it."""
        _require_permission(request)
        form = HoldForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            kind, name = form.cleaned_data["what"].split(":", 1)
            wanted = {kind: name}
            hold(
                **wanted,
                by=request.user,
                reason=form.cleaned_data["reason"],
                until=form.cleaned_data["until"],
            )
            text = _("%(name)s is held: no new attempt goes forward. Compensations go on.") % {"name": name}
            self.message_user(request, text, messages.SUCCESS)
            return self._back()
        return self.page(request, self.form_template, title=_("Hold"), form=form, confirm=_("Hold"))

    @apart_from_requests
    def release_view(self, request: HttpRequest, hold_id: int) -> HttpResponse:
        """Say what is held; on POST release it."""
        _require_permission(request)
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        held = Hold.objects.filter(pk=hold_id).first()
        if held is None:
            raise Http404(_("There is no hold %(id)s.") % {"id": hold_id})
        if request.method != "POST":
            title = _("Release %(name)s") % {"name": held}
            return self.page(
                request,
                self.form_template,
                title=title,
                held=held,
                since=ago(held.at),
                confirm=_("Yes, release"),
            )
        number = release(held, by=request.user)
        text = ngettext(
            "%(name)s was released: %(number)d saga waited for that and goes on.",
            "%(name)s was released: %(number)d sagas waited for that and go on.",
            number,
        )
        self.message_user(request, text % {"name": held, "number": number}, messages.SUCCESS)
        return self._back()

    def _back(self) -> HttpResponse:
        url = self.url_of("hold_changelist")
        return HttpResponseRedirect(url, status=303)


def _require_permission(request: HttpRequest) -> None:
    if not Actor.of(request.user).may(PERMISSION):
        raise PermissionDenied(_("This takes the permission %(name)s.") % {"name": PERMISSION})
