"""Operations on one saga, as buttons of its page."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.admin.readonly import ReadOnlyAdmin
from sagas.exceptions import OperationRefused
from sagas.models import Saga
from sagas.operations.actors import By
from sagas.operations.catalogue import PLAIN
from sagas.operations.performing import availability, perform

MOST_REASON = 1000

apart_from_requests = transaction.non_atomic_requests(using=Saga.objects.db)
"""For views that operate: the record of a refusal is committed whatever becomes of the request."""


class OperationForm(forms.Form):
    """Why, and of which state of the saga it is asked."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Kept in the saga’s history, with your name."),
        required=False,
        max_length=MOST_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    revision = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)


@dataclass(frozen=True)
class Button:
    """An operation as it is offered, or the reason why it is not."""

    name: str
    label: str | Promise
    url: str
    why_not: str
    """Empty if it can be done now."""


class OperationButtons(ReadOnlyAdmin):
    """The buttons of a saga's page, and what they post to."""

    def operation_urls(self) -> list[URLPattern]:
        """Return the addresses that the buttons post to."""
        view = self.admin_site.admin_view(self.operate_view)
        return [path("<uuid:saga_id>/operations/<slug:operation>/", view, name="sagas_saga_operate")]

    def buttons(self, saga: Saga, *, by: By) -> list[Button]:
        """Return a button for every operation."""
        refusals = availability(saga.pk, by=by)
        return [
            Button(
                name=name,
                label=operation.label,
                url=reverse(
                    "admin:sagas_saga_operate", args=[saga.pk, name], current_app=self.admin_site.name
                ),
                why_not=capfirst(refusal.why) if (refusal := refusals[name]) else "",
            )
            for name, operation in PLAIN.items()
        ]

    @apart_from_requests
    def operate_view(self, request: HttpRequest, saga_id: UUID, operation: str) -> HttpResponse:
        """Perform an operation and go back to the saga's page, which shows what came of it."""
        if operation not in PLAIN:
            raise Http404(_("There is no such operation."))
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        saga = self.get_object(request, str(saga_id))
        if saga is None:
            raise Http404(_("There is no such saga."))
        if not self.has_view_permission(request, saga):
            raise PermissionDenied
        form = OperationForm(request.POST)
        if form.is_valid():
            self._operate(request, saga.pk, operation, form)
        else:
            for errors in form.errors.values():
                self.message_user(request, " ".join(str(error) for error in errors), messages.ERROR)
        return HttpResponseRedirect(self.saga_url(saga.pk), status=303)

    def _operate(self, request: HttpRequest, saga_id: UUID, operation: str, form: OperationForm) -> None:
        asked = form.cleaned_data
        try:
            perform(
                saga_id,
                operation,
                by=request.user,
                reason=asked["reason"],
                expected_revision=asked["revision"],
            )
        except OperationRefused as refusal:
            if refusal.code == "permission_denied":
                raise PermissionDenied(str(refusal)) from refusal
            self.message_user(request, str(refusal), messages.WARNING)
        else:
            text = _("%(operation)s was requested.") % {"operation": PLAIN[operation].label}
            self.message_user(request, text, messages.SUCCESS)


def operation_form(saga: Saga) -> OperationForm:
    """Return the form for a saga as it stands.

    It is sealed to the saga's revision, so that nobody acts on a state that is gone. Not so while the saga
    moves: then the revision changes while one reads, and a wish is heard at the next step border.
    """
    moves = saga.held_by is not None or (saga.due_at is not None and saga.due_at <= timezone.now())
    return OperationForm(initial={"revision": None if moves else saga.revision})
