"""Operations on a saga that nobody conducts: what participants do cannot be retried or skipped from here."""

from __future__ import annotations

from dataclasses import replace

from django.utils.translation import gettext as _

from sagas.choreography import cases
from sagas.definitions import choreographies
from sagas.engine.forecast import Planned, Unundoable
from sagas.engine.locked import Locked
from sagas.operations.operation import Operation, Refusal, Request
from sagas.states import Direction, SagaStatus


def of_choreographies(operation: Operation) -> Operation:
    """Return the operation as it can be asked of a choreography."""
    match operation.name:
        case "compensate":
            return replace(operation, refusal=compensate_refusal, perform=compensate)
        case "abandon":
            return operation
    return replace(operation, refusal=_refusal, permission_of=None)


def compensate_refusal(locked: Locked, request: Request) -> Refusal | None:
    """Say why the case cannot be undone."""
    saga = locked.saga
    choreography = choreographies.get(saga.definition)
    if choreography is None:
        return Refusal(
            "unknown_definition",
            _("the code has no choreography %(definition)s any more.")
            % {"definition": repr(saga.definition)},
        )
    if saga.status == SagaStatus.COMPLETED and choreography.undo_after_completion:
        return None
    if not saga.is_live:
        return Refusal(
            "invalid_state", _("it has ended as %(status)s.") % {"status": saga.get_status_display()}
        )
    if saga.direction == Direction.BACK:
        return Refusal("invalid_state", _("it goes back already. Let it go on."))
    return None


def compensate(locked: Locked, request: Request) -> None:
    """Let nothing of the case go forward any more, and have its events undone, the latest first."""
    cases.close(locked)
    locked.move(locked.saga.turn_back, act=request.act)
    locked.saga.due_at = locked.now


def forecast(locked: Locked) -> list[Planned]:
    """Return the events that would be published, in their order, to undo a case."""
    if locked.direction is Direction.FORWARD:
        return []
    what = _("Published once the event before it was reported done.")
    return [
        Planned(topic, Direction.BACK, "", attempt=1, limit=None, what=what)
        for topic in cases.undo_topics(locked)
    ]


def kept(locked: Locked) -> list[str]:
    """Return what stays done of a case that goes forward: no operation of ours touches that."""
    return []


def left_behind(locked: Locked) -> list[Unundoable]:
    """Return the events that nothing takes back."""
    why = _("nobody subscribed to an event that undoes it")
    return [Unundoable(topic, why) for topic in cases.topics_without_undo(locked)]


def _refusal(locked: Locked, request: Request) -> Refusal | None:
    return Refusal(
        "choreographed",
        _(
            "it is a choreography, which its participants lead. Compensate or abandon it, or "
            "see to its dead letters."
        ),
    )
