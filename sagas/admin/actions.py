"""Operations on the sagas that are selected in the list, one action for each operation of the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from sagas.admin.operation_forms import MOST_REASON
from sagas.admin.readonly import ModelAdmin
from sagas.exceptions import OperationRefused
from sagas.models import Saga
from sagas.operations.actors import By
from sagas.operations.catalogue import PLAIN, Operation
from sagas.operations.performing import perform

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

Action: TypeAlias = Callable[[Any, HttpRequest, QuerySet[Any]], None]

MOST_AT_ONCE = 200
"""Sagas of one action: each is a transaction of its own, and the browser waits for all of them."""


class ReasonedActionForm(ActionForm):
    """Which action, and why: the reason goes into the history of every saga."""

    reason = forms.CharField(label=gettext_lazy("Reason:"), required=False, max_length=MOST_REASON)


@dataclass
class Report:
    """What an operation on several sagas came to: how many did it, and how many did not for which reason."""

    operation: Operation
    done: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def refuse(self, kind: str, sentence: str) -> None:
        """Count a refusal with others of its kind; its sentence stands for them all."""
        self.refused[kind] += 1
        self.examples.setdefault(kind, sentence)

    def sentences(self) -> Iterable[tuple[int, str]]:
        """Yield the message levels and texts for the operator."""
        if self.done:
            text = ngettext(
                "%(operation)s was requested for %(number)d saga.",
                "%(operation)s was requested for %(number)d sagas.",
                self.done,
            )
            yield messages.SUCCESS, text % {"operation": self.operation.label, "number": self.done}
        for kind, number in self.refused.items():
            text = ngettext(
                "%(number)d saga was left as it is. %(example)s",
                "%(number)d sagas were left as they are, for the same reason. One of them: %(example)s",
                number,
            )
            yield messages.WARNING, text % {"number": number, "example": self.examples[kind]}


def carry_out(operation: Operation, saga_ids: Iterable[UUID], *, by: By, reason: str) -> Report:
    """Perform the operation on each saga."""
    report = Report(operation)
    for saga_id in saga_ids:
        try:
            perform(saga_id, operation.name, by=by, reason=reason)
        except OperationRefused as refusal:
            report.refuse(f"{refusal.code} {refusal.entry.saga.status}", str(refusal))
        except Saga.DoesNotExist as gone:
            report.refuse("gone", str(gone))
        else:
            report.done += 1
    return report


def _action(operation: Operation) -> Action:
    def act(model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        # The ids as a list, for what the operation changes must not change what is still to come.
        saga_ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
        if len(saga_ids) > MOST_AT_ONCE:
            text = _("%(operation)s was not requested: more than %(most)d sagas are selected. Select fewer.")
            text %= {"operation": operation.label, "most": MOST_AT_ONCE}
            model_admin.message_user(request, text, messages.ERROR)
            return
        reason = request.POST.get("reason", "").strip()
        for level, text in carry_out(operation, saga_ids, by=request.user, reason=reason).sentences():
            model_admin.message_user(request, text, level)

    act.__name__ = operation.name
    return admin.action(description=cast("_StrPromise", operation.label), permissions=[operation.name])(act)


def _permission(operation: Operation) -> Callable[[ModelAdmin, HttpRequest], bool]:
    def has_permission(model_admin: ModelAdmin, request: HttpRequest) -> bool:
        return request.user.has_perm(operation.permission)

    return has_permission


class OperationActions(ModelAdmin):
    """The actions of the list. Who lacks an operation's permission is not offered it."""

    action_form = ReasonedActionForm
    actions = [_action(operation) for operation in PLAIN.values()]


for _operation in PLAIN.values():
    setattr(OperationActions, f"has_{_operation.name}_permission", _permission(_operation))
