"""A saga's input, changed by an operator: how it is edited, and what it was before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from sagas.engine.admission import lock_names
from sagas.engine.births import business_key
from sagas.engine.inputs import validated
from sagas.engine.locked import Locked
from sagas.exceptions import InputRefused, NotStorable
from sagas.models import Saga, SagaStep
from sagas.operations.operation import Refusal, Request
from sagas.operations.steps import code_refusal


def edit_refusal(locked: Locked, request: Request) -> Refusal | None:
    """Say why its input cannot be changed, or not so."""
    saga = locked.saga
    if not saga.is_live:
        return Refusal(
            "invalid_state",
            _("it has ended as %(status)s. Restart it with another input.")
            % {"status": saga.get_status_display()},
        )
    if saga.held_by is not None:
        return Refusal(
            "invalid_state", _("a worker has it, and works with the input it has. Suspend it first.")
        )
    if refusal := code_refusal(locked):
        return refusal
    if "input" not in request.arguments:
        return None
    changed = changed_input(locked, request)
    if isinstance(changed, Refusal):
        return changed
    definition = locked.definition
    if business_key(definition, changed) not in (None, saga.key):
        return Refusal(
            "invalid_argument", _("its business key is made of what would change. Start a new saga.")
        )
    if lock_names(definition, changed) != lock_names(definition, saga.input):
        return Refusal("invalid_argument", _("its locks are made of what would change. Start a new saga."))
    return None


def edit(locked: Locked, request: Request) -> None:
    """Replace parts of the input; what was done with the old one stays so."""
    saga = locked.saga
    changed = changed_input(locked, request)
    assert not isinstance(changed, Refusal)
    fields = sorted(name for name in changed if changed[name] != saga.input.get(name))
    before = {name: saga.input[name] for name in fields if name in saga.input}
    # Compensations are given what their actions were, whatever the input is by then.
    begun = SagaStep.objects.filter(saga=saga.pk, started_at__isnull=False, given_input__isnull=True)
    begun.update(given_input=saga.input)
    saga.input = changed
    Saga.objects.filter(pk=saga.pk).update(input=changed)
    locked.record(**request.act, data={"before": before, "after": {name: changed[name] for name in fields}})


def changed_input(locked: Locked, request: Request) -> dict[str, Any] | Refusal:
    """Return the saga's input with the parts replaced that the request names, or say why that is wrong."""
    changes = request.arguments.get("input") or {}
    if not isinstance(changes, dict):
        return Refusal("invalid_argument", _("the parts of the input to replace are a JSON object."))
    try:
        return validated(locked.definition, {**locked.saga.input, **changes})
    except (InputRefused, NotStorable) as error:
        return Refusal("invalid_argument", _("the input would be wrong. %(error)s") % {"error": error})


def unedited(given: Mapping[str, Any], edits: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the input as it was before these edits: the data of their records, the newest first."""
    first = dict(given)
    for data in edits:
        first = {name: value for name, value in first.items() if name not in data["after"]} | data["before"]
    return first
