"""The endpoints of operations: which there are, what each would do, and doing it. All from the catalogue."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.request import Request
from rest_framework.reverse import reverse

from sagas.api.fields import JSONTextField, TextField
from sagas.api.filters import checked_parameters
from sagas.api.headers import expected_revision, idempotency_key
from sagas.api.repeats import once
from sagas.api.serializers import StrictSerializer
from sagas.conf import saga_settings
from sagas.engine.facts import FactKind
from sagas.exceptions import OperationRefused
from sagas.models import Saga
from sagas.operations.actors import Actor
from sagas.operations.catalogue import OPERATIONS, Operation
from sagas.operations.performing import availability, perform
from sagas.operations.previewing import Preview, preview
from sagas.operations.steps import OUTCOMES
from sagas.states import AT_WORK, SagaStatus

MOST_OF_A_REASON = 1000
ASKED_FOR: Mapping[str, Collection[SagaStatus]] = {
    "suspend": {SagaStatus.SUSPENDED},
    "resume": AT_WORK,
    "compensate": {SagaStatus.COMPENSATING, SagaStatus.COMPENSATED},
    "abandon": {SagaStatus.ABANDONED},
}
"""Where a saga stands that has had an operation done already: asking again asks for nothing."""
ALIASES = {"cancel": "compensate"}
"""What customers and participants call it."""


class ReasonRequired(APIException):
    """The project has this operation done only with a reason."""

    status_code = 400
    default_code = "reason_required"


def form_for(operation: Operation) -> type[StrictSerializer]:
    """Return the form of an operation's body: why, and the arguments it takes."""
    return _form(operation, as_text=False)


def query_for(operation: Operation) -> type[StrictSerializer]:
    """Return the form of the arguments in a query string, where objects are JSON as text."""
    return _form(operation, as_text=True)


@cache
def _form(operation: Operation, *, as_text: bool) -> type[StrictSerializer]:
    needed = () if as_text else operation.arguments[: operation.needs]
    fields: dict[str, Any] = {
        name: _argument(name, required=name in needed, as_text=as_text) for name in operation.arguments
    }
    if not as_text:
        fields["reason"] = TextField(
            max_length=MOST_OF_A_REASON, allow_blank=True, default="", help_text="Kept with the act."
        )
    kind = "Query" if as_text else "Request"
    return type(f"{operation.name.title()}{kind}Serializer", (StrictSerializer,), fields)


def _argument(name: str, *, required: bool, as_text: bool) -> serializers.Field[Any, Any, Any, Any]:
    if name == "outcome":
        return serializers.ChoiceField(choices=[(each, each) for each in OUTCOMES], required=required)
    if name == "step":
        return TextField(max_length=100, required=required)
    return JSONTextField(required=required) if as_text else serializers.DictField(required=required)


def catalogue_of(saga: Saga, request: Request) -> list[dict[str, Any]]:
    """Return what could be asked of a saga, and by whom; where not, why not."""
    found = availability(saga.pk, by=request.user)
    return [
        {
            "operation": name,
            "label": str(OPERATIONS[name].label),
            "allowed": refusal is None,
            "code": refusal.code if refusal else "",
            "reason": refusal.why if refusal else "",
            "arguments": list(OPERATIONS[name].arguments),
            "preview_url": reverse("saga-operation", args=[saga.pk, name], request=request),
            "url": reverse(f"saga-{name}", args=[saga.pk], request=request),
        }
        for name, refusal in found.items()
    ]


def plan_of(saga: Saga, operation: Operation, request: Request) -> dict[str, Any]:
    """Return what an operation would do, or why it would be refused. Raise `PermissionDenied`."""
    arguments = checked_parameters(request, query_for(operation))
    plan = preview(saga.pk, operation.name, by=request.user, **arguments)
    if plan.refusal is not None and plan.refusal.code == "permission_denied":
        raise PermissionDenied(plan.refusal.why)
    return body_of(plan)


def body_of(plan: Preview) -> dict[str, Any]:
    """Return what a preview says."""
    body = asdict(plan)
    body["refusal"] = {"code": plan.refusal.code, "detail": plan.refusal.why} if plan.refusal else None
    return {"allowed": plan.refusal is None, **body}


def require_reason(operation: Operation, reason: str) -> None:
    """Raise `ReasonRequired` where the project wants one for the operation and there is none."""
    if operation.name in saga_settings().require_reason and not reason.strip():
        raise ReasonRequired(_("Say why: %(name)s is done only with a reason.") % {"name": operation.name})


def carry_out(saga: Saga, operation: Operation, request: Request) -> dict[str, bool]:
    """Have an operation done. Return what is to be said of it: that it was done before, if it was.

    Raises `ReasonRequired`, and whatever `perform` and `once` raise.
    """
    form = form_for(operation)(data=request.data)
    form.is_valid(raise_exception=True)
    asked: Mapping[str, Any] = form.validated_data
    require_reason(operation, asked["reason"])
    revision = expected_revision(request)

    def act() -> dict[str, bool]:
        if _was_done(saga, operation) and Actor.of(request.user).may(operation.permission, saga):
            return {"already": True}
        try:
            perform(saga.pk, operation.name, by=request.user, expected_revision=revision, **asked)
        except OperationRefused as refused:
            # Somebody has asked for the same meanwhile.
            if refused.code == "invalid_state" and _was_done(refused.entry.saga, operation):
                return {"already": True}
            raise
        return {}

    if (key := idempotency_key(request)) is None:
        return act()
    client, place = Actor.of(request.user).name, f"{request.method} {request.path}"
    said, replayed = once(act, key=key, client=client, place=place, body=asked)
    return said | {"replayed": True} if replayed else said


def _was_done(saga: Saga, operation: Operation) -> bool:
    if operation.name == "resume" and saga.facts.filter(kind=FactKind.SUSPEND, applied_at=None).exists():
        return False  # It is still to be suspended.
    return saga.status in ASKED_FOR.get(operation.name, ())
