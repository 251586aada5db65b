"""Operations on single steps of a halted or waiting saga: retry, resolve, skip, approve, reject."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from sagas.canonical import gate
from sagas.definitions import Approval, registry
from sagas.engine.beginnings import key_is_spent
from sagas.engine.facts import FactKind
from sagas.engine.locked import Locked
from sagas.engine.steering import drifted
from sagas.exceptions import NotStorable
from sagas.models import SagaStep
from sagas.operations.operation import Refusal, Refused, Request
from sagas.states import AT_REST, AT_WORK, Direction, SagaStatus, StepStatus, WaitsFor

DONE, NOT_DONE = "done", "not_done"
OUTCOMES = (DONE, NOT_DONE)


def code_refusal(locked: Locked) -> Refusal | None:
    """Refuse what needs the definition where the code does not have it, or not all of the saga's steps."""
    name = locked.saga.definition
    if name not in registry:
        return Refusal(
            "unknown_definition",
            _("no installed app has the definition %(name)s. Deploy code that has it.") % {"name": name},
        )
    if drifted(locked):
        return Refusal(
            "definition_drift",
            _("it has steps that %(name)s no longer has. Deploy code that has them.") % {"name": name},
        )
    return None


def retry_refusal(locked: Locked, request: Request) -> Refusal | None:
    """Say why nothing of it can be tried again."""
    saga = locked.saga
    if saga.status == SagaStatus.FAILED or _waits_for_retry(locked):
        return code_refusal(locked) or next(
            (refusal for step in _to_retry(locked) if (refusal := _key_refusal(locked, step))), None
        )
    if saga.status == SagaStatus.SUSPENDED:
        return Refusal("invalid_state", _("it is suspended. Resume it: then its steps go on."))
    if saga.is_live:
        return Refusal(
            "invalid_state",
            _("it is %(status)s and no step of it failed or waits for its next attempt.")
            % {"status": saga.get_status_display()},
        )
    return Refusal(
        "invalid_state",
        _("it has ended as %(status)s. Start a new saga instead.") % {"status": saga.get_status_display()},
    )


def retry(locked: Locked, request: Request) -> None:
    """Grant what failed another round of attempts, and what waits its next one now."""
    for step in _to_retry(locked):
        changed = locked.step(step.name)
        if step.status in (StepStatus.FAILED, StepStatus.UNKNOWN, StepStatus.COMPENSATION_FAILED):
            changed.again(now=locked.now)
        else:
            changed.due_at = locked.now
    go_on(locked, request)


def resolve_refusal(locked: Locked, request: Request) -> Refusal | None:
    """Say why nobody has to tell what came of a step."""
    if locked.saga.status not in AT_REST:
        return Refusal(
            "invalid_state",
            _("it is %(status)s. Only a saga that stands still is resolved.")
            % {"status": locked.saga.get_status_display()},
        )
    if refusal := code_refusal(locked):
        return refusal
    found = _named(unresolved(locked), request, _("unknown"))
    if isinstance(found, Refusal):
        return found
    outcome = request.arguments.get("outcome")
    if outcome is not None and outcome not in OUTCOMES:
        return Refusal(
            "invalid_argument",
            _("its outcome can be %(done)s or %(not_done)s, and not %(outcome)s.")
            % {"done": DONE, "not_done": NOT_DONE, "outcome": repr(outcome)},
        )
    result = request.arguments.get("result")
    if result is not None and not isinstance(result, dict):
        return Refusal("invalid_argument", _("the result of a step is a JSON object."))
    try:
        gate(result, f"The result of {found.name}")
    except NotStorable as error:
        return Refusal("invalid_argument", str(error))
    return None


def resolve(locked: Locked, request: Request) -> None:
    """Write down what a person found out about a step of unknown outcome, and go on from there."""
    step = locked.step(_one(unresolved(locked), request).name)
    if request.arguments["outcome"] == DONE:
        step.complete(now=locked.now)
        step.result = dict(request.arguments.get("result") or {})
    else:
        step.fail(now=locked.now)
    go_on(locked, request, step=step.name, data={"outcome": request.arguments["outcome"]})


def skip_refusal(locked: Locked, request: Request) -> Refusal | None:
    """Say why no step can be passed by."""
    saga = locked.saga
    if saga.status not in AT_REST and not (saga.status in AT_WORK and saga.held_by is None):
        return Refusal(
            "invalid_state",
            _("it is %(status)s, and a worker has it. Suspend it first.")
            % {"status": saga.get_status_display()},
        )
    if saga.direction == Direction.BACK:
        return Refusal("invalid_state", _("it goes back, and no step is begun any more."))
    if refusal := code_refusal(locked):
        return refusal
    found = _named(skippable(locked), request, _("failed, unknown, waiting"))
    if isinstance(found, Refusal):
        return found
    if locked.outline.steps[found.name].pivot:
        return Refusal(
            "pivot",
            _("step %(name)s decides whether the saga can turn back. Resolve or retry it instead.")
            % {"name": found.name},
        )
    if found.waits_for == WaitsFor.CHILD:
        return Refusal(
            "invalid_state",
            _("step %(name)s has child sagas. Compensate or abandon those.") % {"name": found.name},
        )
    return None


def skip(locked: Locked, request: Request) -> None:
    """Pass a step by: it is neither done nor undone."""
    step = locked.step(_one(skippable(locked), request).name)
    in_doubt = step.in_doubt
    step.skip(now=locked.now)
    go_on(locked, request, step=step.name, data={"in_doubt": in_doubt})


def decision_refusal(locked: Locked, request: Request) -> Refusal | None:
    """Say why there is nothing to decide, or why somebody else has to."""
    saga = locked.saga
    waiting = _meant(locked, request)
    if saga.definition not in registry or len(waiting) != 1 or saga.status not in AT_WORK:
        return Refusal(
            "invalid_state",
            _("it is %(status)s and waits for no approval.") % {"status": saga.get_status_display()},
        )
    element = locked.outline.steps[waiting[0].name]
    name = request.actor.name
    if isinstance(element, Approval) and element.not_by_initiator and name and name == saga.started_by:
        return Refusal(
            "own_saga", _("%(name)s started it, and somebody else has to decide.") % {"name": name}
        )
    if any(fact.kind == FactKind.APPROVAL and fact.source == waiting[0].name for fact in locked.facts):
        return Refusal("invalid_state", _("it has been decided already."))
    return None


def approve(locked: Locked, request: Request) -> None:
    """Let the saga go on."""
    _decide(locked, request, approved=True)


def reject(locked: Locked, request: Request) -> None:
    """Have the saga turn back."""
    _decide(locked, request, approved=False)


def approval_permission(locked: Locked) -> str:
    """Return the permission that the approval the saga waits for asks for."""
    for step in undecided(locked):
        element = locked.outline.steps.get(step.name)
        if isinstance(element, Approval):
            return element.permission
    return "sagas.compensate_saga"


def go_on(locked: Locked, request: Request, **record: Any) -> None:
    """Have a worker look at the saga, after somebody's act on it."""
    if locked.saga.status in AT_REST:
        locked.move(locked.saga.resume, has_begun=locked.has_begun, act={**request.act, **record})
    else:
        locked.record(**request.act, **record)
    locked.saga.due_at = locked.now


def _decide(locked: Locked, request: Request, *, approved: bool) -> None:
    [step] = _meant(locked, request)
    locked.record(**request.act, step=step.name)
    locked.tell(
        locked.saga.pk,
        FactKind.APPROVAL,
        step.name,
        by=request.actor.name,
        step=step.name,
        approved=approved,
        reason=request.reason,
    )


def unresolved(locked: Locked) -> list[SagaStep]:
    """Return the steps of which it is not known whether they took effect."""
    return [step for step in locked.steps.values() if step.status == StepStatus.UNKNOWN]


def skippable(locked: Locked) -> list[SagaStep]:
    """Return the steps that could be passed by."""
    statuses = {StepStatus.FAILED, StepStatus.UNKNOWN, StepStatus.WAITING}
    return [step for step in locked.steps.values() if step.status in statuses]


def undecided(locked: Locked) -> list[SagaStep]:
    """Return the steps that wait for somebody's approval."""
    waiting = (step for step in locked.steps.values() if step.status == StepStatus.WAITING)
    return [step for step in waiting if step.waits_for == WaitsFor.APPROVAL]


def _meant(locked: Locked, request: Request) -> list[SagaStep]:
    wanted = request.arguments.get("step")
    return [step for step in undecided(locked) if wanted is None or step.name == wanted]


def _named(found: list[SagaStep], request: Request, told: str) -> SagaStep | Refusal:
    """Return the step that is meant: the one named, or the only one there is."""
    wanted = request.arguments.get("step")
    if not found:
        return Refusal("invalid_state", _("no step of it is %(told)s.") % {"told": told})
    if wanted is not None:
        found = [step for step in found if step.name == wanted]
        if not found:
            return Refusal(
                "invalid_argument",
                _("it has no step %(wanted)s that is %(told)s.") % {"wanted": repr(wanted), "told": told},
            )
    if len(found) > 1:
        return Refusal(
            "invalid_argument",
            _("name one of its steps: %(names)s.") % {"names": ", ".join(step.name for step in found)},
        )
    return found[0]


def _one(steps: list[SagaStep], request: Request) -> SagaStep:
    found = _named(steps, request, "")
    if isinstance(found, Refusal):
        raise Refused(found)
    return found


def _waits_for_retry(locked: Locked) -> bool:
    return locked.saga.status in AT_WORK and locked.saga.held_by is None and bool(_to_retry(locked))


def _to_retry(locked: Locked) -> list[SagaStep]:
    """Return the steps that failed in the saga's direction, or wait for their next attempt in it."""
    if locked.direction is Direction.FORWARD:
        wanted = {StepStatus.FAILED, StepStatus.UNKNOWN}
        return [
            step
            for step in locked.steps.values()
            if step.status in wanted
            or (step.status == StepStatus.WAITING and step.waits_for == WaitsFor.RETRY)
            or _failed_undo(step)
        ]
    return [step for step in locked.steps.values() if _failed_undo(step)]


def _failed_undo(step: SagaStep) -> bool:
    return step.status == StepStatus.COMPENSATION_FAILED or (
        step.status == StepStatus.COMPENSATING and step.due_at is not None
    )


def _key_refusal(locked: Locked, step: SagaStep) -> Refusal | None:
    """Refuse to send a key again that its participant may have forgotten: it would be a new request."""
    declared = registry.named(locked.saga.definition).outline().steps.get(step.name)
    if declared is None or not key_is_spent(declared, step, locked.now):
        return None
    assert declared.participant is not None
    return Refusal(
        "key_expired",
        _(
            "step %(name)s may have taken effect, and %(participant)s may no longer know its "
            "idempotency key, so that sending it again could double the effect. Find out what"
            " happened first."
        )
        % {"name": step.name, "participant": declared.participant.name},
    )
