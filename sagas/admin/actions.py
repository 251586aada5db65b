"""Operations on the sagas that are selected in the list: each drafts a batch, which is looked at first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.text import format_lazy

from sagas.admin.readonly import ModelAdmin
from sagas.admin.selecting import selection_of
from sagas.exceptions import BatchRefused
from sagas.models import SagaBatch
from sagas.operations.catalogue import PLAIN, Operation
from sagas.operations.drafting import draft
from sagas.operations.selection import MOST_IDS, Selection

if TYPE_CHECKING:
    pass

Action: TypeAlias = Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponseRedirect | None]


class DraftingActionForm(ActionForm):
    """Which action, once however often it is sent, of the sagas as they stood when the list was shown."""

    once = forms.UUIDField(label="", widget=forms.HiddenInput, required=False, initial=uuid4)
    looked_at = forms.DateTimeField(label="", widget=forms.HiddenInput, required=False, initial=timezone.now)


def _action(operation: Operation) -> Action:
    def act(
        model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Any]
    ) -> HttpResponseRedirect | None:
        try:
            batch = draft(
                operation.name,
                _selection(request, queryset),
                by=request.user,
                cutoff_at=_looked_at(request),
                key=request.POST.get("once") or None,
            )
        except BatchRefused as refusal:
            model_admin.message_user(request, str(refusal), messages.WARNING)
            return None
        return HttpResponseRedirect(batch_url(batch, model_admin.admin_site.name), status=303)

    act.__name__ = operation.name
    described = format_lazy("{}…", operation.label)
    return admin.action(description=described, permissions=[operation.name])(act)


def _selection(request: HttpRequest, queryset: QuerySet[Any]) -> Selection:
    if request.POST.get("select_across") == "1":
        return selection_of(request.GET.dict())
    ids = queryset.order_by().values_list("pk", flat=True)[: MOST_IDS + 1]
    return Selection(ids=tuple(ids))


def _looked_at(request: HttpRequest) -> Any:
    field = forms.DateTimeField(required=False)
    try:
        return field.clean(request.POST.get("looked_at", ""))
    except forms.ValidationError:
        return None


def batch_url(batch: SagaBatch, site: str) -> str:
    """Return the address of a batch's page."""
    return reverse("admin:sagas_sagabatch_change", args=[batch.pk], current_app=site)


def _permission(operation: Operation) -> Callable[[ModelAdmin, HttpRequest], bool]:
    def has_permission(model_admin: ModelAdmin, request: HttpRequest) -> bool:
        return request.user.has_perm(operation.permission)

    return has_permission


class OperationActions(ModelAdmin):
    """The actions of the list. Who lacks an operation's permission is not offered it."""

    action_form = DraftingActionForm
    actions = [_action(operation) for operation in PLAIN.values()]


for _operation in PLAIN.values():
    setattr(OperationActions, f"has_{_operation.name}_permission", _permission(_operation))
