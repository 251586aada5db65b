"""Events: what was published, and its deliveries, of which those that were given up await a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.admin.events import delivery_badge
from sagas.admin.operating import apart_from_requests
from sagas.admin.operation_forms import MOST_REASON
from sagas.admin.payloads import payload
from sagas.admin.readonly import ReadOnlyAdmin
from sagas.admin.search import full_id
from sagas.admin.times import moment
from sagas.exceptions import LetterRefused
from sagas.models import InboxMessage, InboxStatus, OutboxMessage
from sagas.operations import letters
from sagas.operations.actors import Actor
from sagas.redaction import redacted

ERROR_SHOWN = 80


class LetterForm(forms.Form):
    """Why."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Kept with the delivery, with your name."),
        required=False,
        max_length=MOST_REASON,
        widget=forms.Textarea({"rows": 2}),
    )


ACTS: dict[str, tuple[str | Promise, str, Callable[..., InboxMessage]]] = {
    "requeue": (gettext_lazy("Deliver again"), letters.REQUEUE, letters.requeue),
    "resolve": (gettext_lazy("Resolve"), letters.RESOLVE, letters.resolve),
}


class EventAdmin(ReadOnlyAdmin):
    """What events have in common on their pages."""

    ordering = ("-id",)
    search_fields = ("correlation_id",)
    search_help_text = gettext_lazy("The id of an event, or a whole correlation id.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("data", "headers")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        words = search_term.strip()
        if not words:
            return queryset, False
        is_of_case, event_id = Q(correlation_id=words), full_id(words)
        return queryset.filter(is_of_case if event_id is None else is_of_case | Q(event_id=event_id)), False

    @admin.display(description=gettext_lazy("published"))
    def published(self, message: Any) -> SafeString | str:
        return moment(message.at)

    @admin.display(description=gettext_lazy("data"))
    def data_json(self, message: Any) -> SafeString:
        return payload(redacted(message.data))

    @admin.display(description=gettext_lazy("headers"))
    def headers_json(self, message: Any) -> SafeString:
        return payload(message.headers)


@admin.register(OutboxMessage)
class OutboxMessageAdmin(EventAdmin):
    """What was published."""

    list_display = ("topic", "key", "seq", "saga_id_link", "correlation_id", "published")
    fields = (
        ("topic", "key", "seq"),
        "event_id",
        "saga_id_link",
        ("correlation_id", "causation_id"),
        "published",
        "data_json",
        "headers_json",
    )

    @admin.display(description=gettext_lazy("saga"))
    def saga_id_link(self, message: OutboxMessage) -> SafeString | None:
        return None if message.saga_id is None else self.saga_link(message.saga_id)


@admin.register(InboxMessage)
class InboxMessageAdmin(EventAdmin):
    """Deliveries: one for each subscriber of an event."""

    list_display = ("topic", "key", "subscriber", "badge", "tries", "last_error", "published", "acts")
    list_filter = ("status",)
    lookups = frozenset({"status__exact"})
    fields = (
        ("topic", "key", "seq"),
        ("event_id", "correlation_id"),
        ("subscriber", "badge", "tries", "crashes", "in_doubt"),
        ("published", "ends"),
        ("error_class", "error"),
        "data_json",
        "headers_json",
        "done_about_it",
    )
    act_template = "admin/sagas/inboxmessage/act.html"

    @admin.display(description=gettext_lazy("status"))
    def badge(self, message: InboxMessage) -> SafeString:
        return delivery_badge(message)

    @admin.display(description=gettext_lazy("ended"))
    def ends(self, message: InboxMessage) -> SafeString | str:
        return moment(message.ended_at)

    @admin.display(description=gettext_lazy("last error"))
    def last_error(self, message: InboxMessage) -> str:
        return f"{message.error_class} {Truncator(message.error).chars(ERROR_SHOWN)}".strip()

    @admin.display(description=gettext_lazy("dead letter"))
    def acts(self, message: InboxMessage) -> SafeString | None:
        if message.status != InboxStatus.DEAD:
            return None
        links = [
            format_html('<a href="{}">{}…</a>', self.url_of("inboxmessage_act", message.pk, act), label)
            for act, (label, _permission, _perform) in ACTS.items()
        ]
        return format_html("{} {}", *links)

    @admin.display(description=gettext_lazy("what was done about it"))
    def done_about_it(self, message: InboxMessage) -> SafeString | None:
        lines = [
            format_html(
                "<li>{} {} {}{} {}</li>",
                moment(act.at),
                act.actor or act.actor_kind,
                act.operation,
                f" ({act.refusal})" if act.refusal else "",
                act.reason,
            )
            for act in message.acts.order_by("id")
        ]
        return format_html("<ul>{}</ul>", SafeString("".join(lines))) if lines else None

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        return [
            path("<int:letter_id>/<slug:act>-letter/", view, name="sagas_inboxmessage_act"),
            *super().get_urls(),
        ]

    @apart_from_requests
    def act_view(self, request: HttpRequest, letter_id: int, act: str) -> HttpResponse:
        """Say what a dead letter is; on POST have it delivered again, or resolve it."""
        if act not in ACTS:
            raise Http404(_("There is no such operation."))
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        letter = InboxMessage.objects.filter(pk=letter_id).first()
        if letter is None:
            raise Http404(_("There is no delivery %(id)s.") % {"id": letter_id})
        label, permission, perform = ACTS[act]
        if not self.has_view_permission(request, letter) or not Actor.of(request.user).may(permission):
            raise PermissionDenied(_("This takes the permission %(name)s.") % {"name": permission})
        form = LetterForm(request.POST if request.method == "POST" else None)
        form.fields["reason"].required = act == "resolve"
        if request.method == "POST" and form.is_valid():
            try:
                perform(letter.pk, by=request.user, reason=form.cleaned_data["reason"])
            except LetterRefused as refusal:
                self.message_user(request, str(refusal), messages.WARNING)
            else:
                text = _("%(act)s was requested for %(letter)s.") % {"act": label, "letter": letter}
                self.message_user(request, text, messages.SUCCESS)
            url = self.url_of("inboxmessage_change", letter.pk)
            return HttpResponseRedirect(url, status=303)
        return self.page(
            request,
            self.act_template,
            title=f"{label}: {letter.topic}",
            letter=letter,
            badge=delivery_badge(letter),
            label=label,
            form=form,
            data=payload(redacted(letter.data)),
        )
