"""What one attempt means for its step: outcome and policy in, verdict out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from sagas.definitions import HALT, Element, Exhausted
from sagas.states import Attention, Direction, Outcome, StepKind

LONGEST_DELAY = timedelta(days=365)
"""A step cannot ask to be left alone for longer."""


@dataclass(frozen=True)
class Complete:
    """The attempt reported done."""


@dataclass(frozen=True)
class Fail:
    """The action provably did not happen; or, on the way back, the compensation is given up."""

    attention: Attention | None = None


@dataclass(frozen=True)
class Doubt:
    """The action is given up, and whether it took effect is not known."""

    attention: Attention | None = None


@dataclass(frozen=True)
class Again:
    """Another attempt follows after `delay`."""

    delay: timedelta
    in_doubt: bool = False
    attention: Attention | None = None
    cleared: bool = False
    """The doubt about earlier attempts is removed: a probe found that they did not happen."""


@dataclass(frozen=True)
class GiveBack:
    """The attempt was never sent and does not count."""


Verdict = Complete | Fail | Doubt | Again | GiveBack


class Record(NamedTuple):
    """What the step's row says about the attempts made so far, the present one included."""

    spent: int
    """Attempts the retry policy counts."""
    since_round: timedelta
    """Since the first attempt of this round was begun."""
    since_sent: timedelta
    """Since the key was first sent."""
    in_doubt: bool
    """An earlier attempt may have taken effect."""
    lands_for: timedelta = timedelta(0)
    """How much longer an attempt of unknown outcome may still take effect."""
    turning_back: bool = False
    """The saga goes back already: no further attempt of an action is made."""


def judge(
    step: Element,
    direction: Direction,
    outcome: Outcome,
    record: Record,
    *,
    delay: timedelta | None = None,
    on_exhausted: Exhausted = Exhausted.COMPENSATE,
) -> Verdict:
    """Say what an attempt that came to `outcome` means for its step.

    `delay` is what the step itself asked for; `on_exhausted` is the definition's, used where the step says
    none.
    """
    if outcome is Outcome.DONE:
        return Complete()
    if outcome is Outcome.UNSENT:
        return GiveBack()
    policy = step.policy(direction)
    wait = policy.delay(record.spent) if delay is None else min(max(delay, timedelta(0)), LONGEST_DELAY)
    allowed = policy.allows(record.spent, record.since_round)
    in_doubt = record.in_doubt or outcome is Outcome.UNKNOWN
    resendable = not key_expired(step, direction, in_doubt=in_doubt, since_sent=record.since_sent)
    if direction is Direction.BACK:
        if outcome is Outcome.NOT_DONE or not (allowed and resendable):
            return Fail()
        return Again(wait)
    if outcome is not Outcome.NOT_DONE and not record.turning_back:
        if allowed and resendable:
            return Again(wait, outcome is Outcome.UNKNOWN and step.kind is StepKind.STEP)
        if step.probe is not None and in_doubt:
            return Again(timedelta(0), in_doubt=True)  # Its probe is asked next.
        if not resendable:
            return _give_up(step, in_doubt=True, attention=Attention.UNKNOWN_OUTCOME)
    attention = None if outcome is Outcome.NOT_DONE else _exhausted(step, record, on_exhausted)
    return _give_up(step, in_doubt=in_doubt, attention=attention)


def judge_probe(
    step: Element, outcome: Outcome, record: Record, *, on_exhausted: Exhausted = Exhausted.COMPENSATE
) -> Verdict:
    """Say what follows from a probe's answer: DONE, NOT_DONE, or anything else where it could not tell.

    That something did not happen is believed only when it cannot happen any more.
    """
    if outcome is Outcome.DONE:
        return Complete()
    if outcome is Outcome.UNSENT:
        return Again(timedelta(0))
    allowed = (
        step.policy(Direction.FORWARD).allows(record.spent, record.since_round) and not record.turning_back
    )
    if outcome is Outcome.NOT_DONE:
        if record.lands_for > timedelta(0):
            return Again(record.lands_for, in_doubt=True)
        if allowed:
            return Again(timedelta(0), cleared=True)
        return _give_up(step, in_doubt=False, attention=_exhausted(step, record, on_exhausted))
    if key_expired(step, Direction.FORWARD, in_doubt=True, since_sent=record.since_sent):
        return _give_up(step, in_doubt=True, attention=Attention.UNKNOWN_OUTCOME)
    if allowed:
        return Again(timedelta(0), in_doubt=True)
    return _give_up(step, in_doubt=True, attention=_exhausted(step, record, on_exhausted))


def _exhausted(step: Element, record: Record, on_exhausted: Exhausted) -> Attention | None:
    halts = (step.on_exhausted or on_exhausted) is HALT and not record.turning_back
    return Attention.STEP_EXHAUSTED if halts else None


def _give_up(step: Element, *, in_doubt: bool, attention: Attention | None) -> Verdict:
    if step.optional:
        attention = None  # The saga goes on without it.
    return Doubt(attention) if in_doubt and not step.read_only else Fail(attention)


def key_expired(step: Element, direction: Direction, *, in_doubt: bool, since_sent: timedelta) -> bool:
    """Say whether sending the step's key again could double its effect.

    An action that reached nothing may go out again at any time; one that may have arrived only while the
    participant knows its key. A compensation that was sent once may always have arrived.
    """
    may_have_arrived = in_doubt or direction is Direction.BACK
    return may_have_arrived and not step.read_only and not step.may_resend(since_sent)


def judge_lost(
    step: Element, direction: Direction, record: Record, *, lone_crashes: int, limit: int
) -> Verdict:
    """Say what follows for a step whose attempt was lost with its worker.

    `lone_crashes` counts the attempts of this step that were lost while it ran alone: only those accuse it.
    """
    if lone_crashes >= limit:
        return Again(timedelta(0), in_doubt=True, attention=Attention.CRASH_LOOP)
    if direction is Direction.FORWARD and step.atomic:
        return Fail() if record.turning_back else Again(timedelta(0))  # What did not commit did not happen.
    if direction is Direction.FORWARD and step.probe is not None and not record.turning_back:
        return Again(timedelta(0), in_doubt=True)
    if key_expired(step, direction, in_doubt=True, since_sent=record.since_sent):
        if direction is Direction.BACK:
            return Fail()
        return _give_up(step, in_doubt=True, attention=Attention.UNKNOWN_OUTCOME)
    if direction is Direction.FORWARD and record.turning_back:
        return _give_up(step, in_doubt=True, attention=None)
    return Again(timedelta(0), in_doubt=step.kind is StepKind.STEP)
