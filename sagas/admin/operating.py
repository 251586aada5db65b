"""Operations on one saga: the buttons of its page, and the page that says what one would do, and does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.admin.badges import badge
from sagas.admin.operation_forms import OperationForm
from sagas.admin.payloads import payload
from sagas.admin.readonly import ReadOnlyAdmin
from sagas.engine.locked import Locked, lock
from sagas.exceptions import OperationRefused
from sagas.models import HistoryKind, Saga
from sagas.operations.actors import By
from sagas.operations.catalogue import OPERATIONS, Operation
from sagas.operations.operation import Refusal
from sagas.operations.performing import perform, why_not
from sagas.operations.previewing import Preview, preview
from sagas.operations.privacy import Shown, shown_to
from sagas.states import Direction

MOST_EVIDENCE = 20

apart_from_requests = transaction.non_atomic_requests(using=Saga.objects.db)
"""For views that operate: the record of a refusal is committed whatever becomes of the request."""


@dataclass(frozen=True)
class Button:
    """An operation as it is offered, or the reason why it is not."""

    name: str
    label: str
    url: str
    why_not: str
    """Empty if it can be done now."""

    @property
    def is_harmless(self) -> bool:
        """Whether it only lets the saga go on: such a button stands out, and no other."""
        return self.name in ("retry", "resume", "resolve", "approve")


@dataclass(frozen=True)
class Effect:
    """What an operation would do to a step."""

    step: str
    verb: SafeString
    attempt: str
    key: str
    note: str


class OperatingAdmin(ReadOnlyAdmin):
    """Looks at sagas as the engine does, and has operations done."""

    preview_template = "admin/sagas/saga/preview.html"

    def operation_urls(self) -> list[URLPattern]:
        """Return the addresses to which the buttons lead."""
        view = self.admin_site.admin_view(self.operate_view)
        return [path("<uuid:saga_id>/operations/<slug:operation>/", view, name="sagas_saga_operate")]

    def look(self, request: HttpRequest, saga_id: UUID) -> Locked:
        """Return a saga with its steps, for whoever may see it. Raise `Http404` and `PermissionDenied`."""
        found = lock(self.get_queryset(request).filter(pk=saga_id).order_by(), payload=True)
        if not found:
            raise Http404(_("There is no saga %(id)s.") % {"id": saga_id})
        if not self.has_view_permission(request, found[0].saga):
            raise PermissionDenied
        return found[0]

    def buttons(self, locked: Locked, *, by: By) -> list[Button]:
        """Return a button for every operation."""
        return [
            Button(
                name=name,
                label=_("%(operation)s…") % {"operation": operation.label},
                url=self.operation_url(locked.saga, name),
                why_not=_sentence(why_not(locked, name, by=by)),
            )
            for name, operation in OPERATIONS.items()
        ]

    def operation_url(self, saga: Saga, operation: str) -> str:
        """Return the address where an operation is looked at first."""
        return self.url_of("saga_operate", saga.pk, operation)

    @apart_from_requests
    def operate_view(self, request: HttpRequest, saga_id: UUID, operation: str) -> HttpResponse:
        """Say what an operation would do; on POST have it done, and go back to the saga's page."""
        wanted = OPERATIONS.get(operation)
        if wanted is None:
            raise Http404(_("There is no such operation."))
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        locked = self.look(request, saga_id)
        shown = shown_to(request.user, locked.saga)
        if request.method != "POST":
            form = OperationForm.of(wanted, locked, shown)
            return self._ask(request, locked, wanted, form, self._first_plan(request, locked, wanted), shown)
        form = OperationForm.of(wanted, locked, shown, request.POST)
        if not form.is_valid():
            return self._ask(request, locked, wanted, form, self._first_plan(request, locked, wanted), shown)
        if "_preview" in request.POST:
            plan = self._plan(request, locked, wanted, **form.arguments)
            return self._ask(request, locked, wanted, form, plan, shown)
        return self._perform(request, locked, wanted, form, shown)

    def _first_plan(self, request: HttpRequest, locked: Locked, operation: Operation) -> Preview | None:
        """Return what it would do without any argument; None if it cannot do without."""
        if operation.needs:
            return None
        plan = self._plan(request, locked, operation)
        return None if plan.refusal is not None and plan.refusal.code == "invalid_argument" else plan

    def _plan(self, request: HttpRequest, locked: Locked, operation: Operation, **arguments: Any) -> Preview:
        plan = preview(locked.saga.pk, operation.name, by=request.user, **arguments)
        if plan.refusal is not None and plan.refusal.code == "permission_denied":
            raise PermissionDenied(plan.refusal.why)
        return plan

    def _perform(
        self, request: HttpRequest, locked: Locked, operation: Operation, form: OperationForm, shown: Shown
    ) -> HttpResponse:
        asked = form.cleaned_data
        try:
            perform(
                locked.saga.pk,
                operation.name,
                by=request.user,
                reason=asked["reason"],
                expected_revision=asked["revision"],
                **form.arguments,
            )
        except OperationRefused as refusal:
            match refusal.code:
                case "permission_denied":
                    raise PermissionDenied(str(refusal)) from refusal
                case "stale_revision":
                    return self._ask_anew(request, locked, operation, form)
                case "invalid_argument":
                    form.add_error(None, str(refusal))
                    return self._ask(request, locked, operation, form, None, shown)
            self.message_user(request, str(refusal), messages.WARNING)
        else:
            text = _("%(operation)s was requested.") % {"operation": operation.label}
            self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(self.saga_url(locked.saga.pk), status=303)

    def _ask_anew(
        self, request: HttpRequest, locked: Locked, operation: Operation, form: OperationForm
    ) -> HttpResponse:
        """Show what the operation would do by now, with what was filled in, sealed to the new revision."""
        locked = self.look(request, locked.saga.pk)
        shown = shown_to(request.user, locked.saga)
        plan = self._plan(request, locked, operation, **form.arguments)
        data = request.POST.copy()
        data["revision"] = str(locked.saga.revision)
        self.message_user(
            request, _("The saga changed while you were reading. Look again."), messages.WARNING
        )
        form = OperationForm.of(operation, locked, shown, data)
        return self._ask(request, locked, operation, form, plan, shown, status=409)

    def _ask(
        self,
        request: HttpRequest,
        locked: Locked,
        operation: Operation,
        form: OperationForm,
        plan: Preview | None,
        shown: Shown,
        *,
        status: int = 200,
    ) -> HttpResponse:
        saga = locked.saga
        if (refusal := why_not(locked, operation.name, by=request.user)) is not None:
            if refusal.code == "permission_denied":
                raise PermissionDenied(refusal.why)
            plan = Preview(operation.name, saga.revision, refusal)
        return self.page(
            request,
            self.preview_template,
            status=status,
            title=_("%(operation)s saga %(name)s")
            % {"operation": operation.label, "name": saga.key or saga.pk},
            saga=saga,
            operation=operation,
            form=form,
            plan=plan,
            refusal=_sentence(plan.refusal) if plan else "",
            effects=list(effects_of(plan)) if plan else [],
            evidence=list(_evidence(locked, shown)) if operation.name == "resolve" else [],
            back=self.saga_url(saga.pk),
            confirm=_("Yes, %(operation)s") % {"operation": str(operation.label).lower()},
        )


def _sentence(refusal: Refusal | None) -> str:
    return capfirst(refusal.why) if refusal else ""


def effects_of(plan: Preview) -> Iterator[Effect]:
    """Yield what an operation would do, step by step."""
    for name in plan.kept:
        yield Effect(name, badge(_("keep"), "✓", "good"), "", "", _("It is done, and stays so."))
    for call in plan.calls:
        if call.direction is Direction.BACK:
            verb = badge(_("undo again") if call.attempt > 1 else _("undo"), "↶", "back")
        elif call.attempt > 1:
            verb = badge(_("run again"), "↻", "active")
        else:
            verb = badge(_("run for the first time"), "►", "active")
        yield Effect(call.step, verb, _attempt(call.attempt, call.limit), call.idempotency_key, call.what)
    for left in plan.cannot_undo:
        yield Effect(left.step, badge(_("cannot undo"), "✕", "bad"), "", "", capfirst(left.why))


def _attempt(number: int, limit: int | None) -> str:
    if limit is None:
        return str(number)
    return _("%(number)d of at most %(limit)d") % {"number": number, "limit": max(limit, number)}


def _evidence(locked: Locked, shown: Shown) -> Iterator[tuple[str | Promise, Any]]:
    """Yield what is known of the steps of unknown outcome: what an operator decides by."""
    for step in OPERATIONS["resolve"].steps(locked):  # type: ignore[misc]
        yield gettext_lazy("Step"), step.name
        yield gettext_lazy("Idempotency key"), step.idempotency_key
        yield gettext_lazy("Last error"), f"{step.error_class} {step.error}".strip()
        late = locked.saga.history.filter(kind=HistoryKind.EVIDENCE, step=step.name).order_by("-id")
        for entry in late[:MOST_EVIDENCE]:
            yield gettext_lazy("Came late"), payload(shown(entry.data))
