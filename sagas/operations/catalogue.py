"""Every operation on a saga. Buttons, routes, commands and the permission matrix come from `OPERATIONS`.

What is asked of a saga at rest is done at once; what is asked of one that a worker holds is left as a fact,
which the worker acts on at the next step border.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from sagas.engine.locked import Locked
from sagas.operations import candidates, courses, editing, steps
from sagas.operations.choreographed import of_choreographies
from sagas.operations.courses import STUCK_AFTER
from sagas.operations.operation import Operation, Refusal
from sagas.states import SagaKind

__all__ = ["OPERATIONS", "PLAIN", "STUCK_AFTER", "Operation", "Refusal", "operation_on"]

OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation(
            "retry", _("Retry"), "sagas.retry_saga", steps.retry_refusal, steps.retry, candidates.to_retry
        ),
        Operation(
            "resume",
            _("Resume"),
            "sagas.resume_saga",
            courses.resume_refusal,
            courses.resume,
            candidates.to_resume,
        ),
        Operation(
            "suspend",
            _("Suspend"),
            "sagas.resume_saga",
            courses.suspend_refusal,
            courses.suspend,
            candidates.at_work,
        ),
        Operation(
            "compensate",
            _("Compensate"),
            "sagas.compensate_saga",
            courses.compensate_refusal,
            courses.compensate,
            candidates.to_compensate,
            needs_reason=True,
        ),
        Operation(
            "resolve",
            _("Resolve"),
            "sagas.resolve_saga",
            steps.resolve_refusal,
            steps.resolve,
            candidates.at_rest,
            arguments=("outcome", "step", "result"),
            needs=1,
            steps=steps.unresolved,
        ),
        Operation(
            "skip",
            _("Skip"),
            "sagas.skip_saga",
            steps.skip_refusal,
            steps.skip,
            candidates.to_skip,
            arguments=("step",),
            steps=steps.skippable,
            needs_reason=True,
        ),
        Operation(
            "edit",
            _("Edit"),
            "sagas.edit_saga",
            editing.edit_refusal,
            editing.edit,
            candidates.live,
            arguments=("input",),
            needs=1,
        ),
        Operation(
            "restart",
            _("Restart"),
            "sagas.restart_saga",
            courses.restart_refusal,
            courses.restart,
            candidates.ended,
            arguments=("input",),
        ),
        Operation(
            "abandon",
            _("Abandon"),
            "sagas.abandon_saga",
            courses.abandon_refusal,
            courses.abandon,
            candidates.live,
            needs_reason=True,
        ),
        Operation(
            "acknowledge",
            _("Acknowledge"),
            "sagas.acknowledge_saga",
            courses.acknowledge_refusal,
            courses.acknowledge,
            candidates.to_acknowledge,
            needs_reason=True,
        ),
        Operation(
            "approve",
            _("Approve"),
            "sagas.compensate_saga",
            steps.decision_refusal,
            steps.approve,
            candidates.at_work,
            arguments=("step",),
            permission_of=steps.approval_permission,
            steps=steps.undecided,
        ),
        Operation(
            "reject",
            _("Reject"),
            "sagas.compensate_saga",
            steps.decision_refusal,
            steps.reject,
            candidates.at_work,
            arguments=("step",),
            permission_of=steps.approval_permission,
            steps=steps.undecided,
        ),
    )
}

PLAIN = {
    name: operation
    for name, operation in OPERATIONS.items()
    if not operation.arguments and operation.permission_of is None
}
"""Those that a single click can ask for."""

_CHOREOGRAPHED = {name: of_choreographies(operation) for name, operation in OPERATIONS.items()}


def operation_on(locked: Locked, name: str) -> Operation:
    """Return the operation of this name as it can be asked of this saga."""
    of_its_kind = _CHOREOGRAPHED if locked.saga.kind == SagaKind.CHOREOGRAPHY else OPERATIONS
    return of_its_kind[name]
