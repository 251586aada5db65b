"""What follows for sagas that were in hand when a worker died.

Their attempts in flight are lost: they may have happened, and go out again under their old keys. One of the
sagas may be what kills workers. So they are claimed apart, in batches that shrink with every crash, until
each is alone: only a crash while alone accuses it.
"""

from __future__ import annotations

from datetime import timedelta

from sagas.conf import saga_settings
from sagas.engine.locked import Locked
from sagas.engine.outcomes import record_of
from sagas.engine.verdicts import Again, Doubt, Verdict, judge_lost
from sagas.models import SagaStep
from sagas.states import Call, Direction, StepStatus, WaitsFor

SHRINK = 4
"""Sagas that were in hand when a worker died are claimed apart, in batches smaller by this factor a crash."""


def batch_size(crashes: int, *, limit: int) -> int:
    """Return how many sagas whose step was lost this often may be in one hand."""
    return max(1, limit // int(SHRINK ** min(crashes, 16)))


def lone_crashes(crashes: int, *, limit: int) -> int:
    """Return how many of a step's crashes happened while its saga was alone in a hand."""
    together = 0
    while batch_size(together, limit=limit) > 1:
        together += 1
    return max(0, crashes - together)


def company(found: list[Locked], *, alone: bool) -> tuple[list[Locked], bool]:
    """Choose which sagas may share a hand, so that one that kills its worker does not take others along."""
    crashes = {locked.saga.pk: _crashes(locked) for locked in found}
    worst = max(crashes.values(), default=0)
    if worst == 0:
        return found, False
    if not alone:
        return [locked for locked in found if not crashes[locked.saga.pk]], True
    size = batch_size(worst, limit=saga_settings().batch)
    return [locked for locked in found if crashes[locked.saga.pk] == worst][:size], True


def _crashes(locked: Locked) -> int:
    """Return how often the steps now at work were lost, this time included."""
    lost = 0
    for step in locked.steps.values():
        if step.status in (StepStatus.RUNNING, StepStatus.WAITING, StepStatus.COMPENSATING):
            lost = max(lost, step.crash_count(step.direction) + step.in_flight)
    return lost


def lose(locked: Locked, step: SagaStep) -> None:
    """Count the attempt in flight as lost with its worker, and say what follows."""
    direction = step.direction
    crashes = step.crash_count(direction) + 1
    step.error_class = "WorkerLost"
    step.error = f"The worker died during {step.name}, attempt {step.attempt_number(direction)}."
    locked.saga.note_error(step.error_class, step.error, step=step.name)
    declared = locked.outline.steps.get(step.name)
    verdict: Verdict = Again(timedelta(0), in_doubt=True)  # Of a step the code no longer has; the saga halts.
    if declared is not None:
        verdict = judge_lost(
            declared,
            direction,
            record_of(locked, step, direction),
            lone_crashes=lone_crashes(crashes, limit=saga_settings().batch),
            limit=saga_settings().crash_limit,
        )
    if direction is Direction.FORWARD and step.call != Call.ACTION:
        step.crashes = crashes
        step.park(WaitsFor.RETRY, due_at=locked.now)
        if isinstance(verdict, Again) and verdict.attention:
            locked.saga.attention = verdict.attention
        step.call = Call.ACTION  # A probe is asked again.
    elif direction is Direction.FORWARD:
        step.crashes = crashes
        # It was sent before its lease ended, if at all.
        inflight = declared.max_inflight if declared else timedelta(0)
        step.inflight_until = (locked.saga.due_at or locked.now) + inflight
        _lose_action(locked, step, verdict)
    else:
        step.undo_crashes = crashes
        _lose_compensation(locked, step, verdict)


def _lose_action(locked: Locked, step: SagaStep, verdict: Verdict) -> None:
    match verdict:
        case Again(in_doubt=in_doubt, attention=attention):
            step.park(WaitsFor.RETRY, due_at=locked.now, in_doubt=in_doubt)
            locked.saga.attention = attention or locked.saga.attention
        case Doubt(attention):
            step.doubt(now=locked.now)
            locked.saga.attention = attention or locked.saga.attention
        case _:
            step.fail(now=locked.now)


def _lose_compensation(locked: Locked, step: SagaStep, verdict: Verdict) -> None:
    match verdict:
        case Again(attention=attention):
            step.due_at = locked.now
            locked.saga.attention = attention or locked.saga.attention
        case _:
            step.undo_failed(now=locked.now)
