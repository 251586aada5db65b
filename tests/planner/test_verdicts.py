"""What one attempt means for its step: outcome by outcome, and every combination of circumstances."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from sagas import ALWAYS, COMPENSATE, HALT, NEVER, Participant, RetryPolicy, Step
from sagas.engine.verdicts import Again, Complete, Doubt, Fail, GiveBack, Record, Verdict, judge, judge_lost
from sagas.states import Attention, Direction, Outcome
from tests.samples import BANK, HOUR, SECOND, STEADY, step

FORWARD, BACK = Direction.FORWARD, Direction.BACK
DONE, NOT_DONE, LATER, UNKNOWN, UNSENT = Outcome

WAIT = 10 * SECOND
"""What `STEADY` waits between its 3 attempts."""

PAY = step("pay", participant=BANK, retry=STEADY, undo_retry=STEADY)
LOOK = step("look", participant=BANK, retry=STEADY, read_only=True)
NOTE = step("note", retry=STEADY, undo_retry=STEADY)
"""Touches this database only: its key is never forgotten."""


def record(**changes: Any) -> Record:
    """The first of several attempts, a moment after it was sent."""
    first: dict[str, Any] = {"spent": 1, "since_round": SECOND, "since_sent": SECOND, "in_doubt": False}
    return Record(**first | changes)


@pytest.mark.parametrize(
    ("element", "outcome", "circumstances", "verdict"),
    [
        (PAY, DONE, {}, Complete()),
        (PAY, DONE, {"spent": 99, "since_sent": 2 * HOUR, "in_doubt": True}, Complete()),
        (PAY, DONE, {"turning_back": True}, Complete()),
        (PAY, UNSENT, {}, GiveBack()),
        (PAY, UNSENT, {"spent": 99, "turning_back": True}, GiveBack()),
        # What provably did not happen ends the step at once, unless an earlier attempt may have happened.
        (PAY, NOT_DONE, {}, Fail()),
        (PAY, NOT_DONE, {"in_doubt": True}, Doubt()),
        (PAY, NOT_DONE, {"in_doubt": True, "since_sent": 2 * HOUR}, Doubt()),
        (LOOK, NOT_DONE, {"in_doubt": True}, Fail()),
        # What may be tried again is, as long as the policy lets it.
        (PAY, LATER, {}, Again(WAIT)),
        (PAY, LATER, {"spent": 2}, Again(WAIT)),
        (PAY, LATER, {"spent": 3}, Fail()),
        (PAY, LATER, {"spent": 3, "in_doubt": True}, Doubt()),
        (PAY, LATER, {"in_doubt": True}, Again(WAIT)),
        (PAY, LATER, {"since_sent": 2 * HOUR}, Again(WAIT)),
        (PAY, LATER, {"since_sent": 2 * HOUR, "in_doubt": True}, Doubt(Attention.UNKNOWN_OUTCOME)),
        # What may have happened is sent again under the same key while the participant knows it.
        (PAY, UNKNOWN, {}, Again(WAIT, in_doubt=True)),
        (PAY, UNKNOWN, {"spent": 3}, Doubt()),
        (PAY, UNKNOWN, {"since_sent": HOUR - SECOND}, Again(WAIT, in_doubt=True)),
        (PAY, UNKNOWN, {"since_sent": HOUR}, Doubt(Attention.UNKNOWN_OUTCOME)),
        (PAY, UNKNOWN, {"since_sent": HOUR, "spent": 3}, Doubt(Attention.UNKNOWN_OUTCOME)),
        (NOTE, UNKNOWN, {"since_sent": 1000 * HOUR}, Again(WAIT, in_doubt=True)),
        # Where nothing happens outside there is nothing to doubt.
        (LOOK, UNKNOWN, {}, Again(WAIT, in_doubt=True)),
        (LOOK, UNKNOWN, {"since_sent": 2 * HOUR}, Again(WAIT, in_doubt=True)),
        (LOOK, UNKNOWN, {"spent": 3}, Fail()),
        # A saga that goes back makes no further attempt of an action.
        (PAY, LATER, {"turning_back": True}, Fail()),
        (PAY, LATER, {"turning_back": True, "in_doubt": True}, Doubt()),
        (PAY, UNKNOWN, {"turning_back": True}, Doubt()),
        (PAY, UNKNOWN, {"turning_back": True, "since_sent": 2 * HOUR}, Doubt()),
        (LOOK, UNKNOWN, {"turning_back": True}, Fail()),
    ],
)  # fmt: skip
def test_an_attempt_of_an_action(element, outcome, circumstances, verdict):
    assert judge(element, FORWARD, outcome, record(**circumstances)) == verdict


@pytest.mark.parametrize(
    ("outcome", "circumstances", "verdict"),
    [
        (DONE, {}, Complete()),
        (UNSENT, {}, GiveBack()),
        (NOT_DONE, {}, Fail()),  # A compensation that is refused stops the way back at once.
        (LATER, {}, Again(WAIT)),
        (LATER, {"spent": 3}, Fail()),
        (UNKNOWN, {}, Again(WAIT)),
        (UNKNOWN, {"spent": 3}, Fail()),
        (UNKNOWN, {"since_sent": HOUR - SECOND}, Again(WAIT)),
        (UNKNOWN, {"since_sent": HOUR}, Fail()),
        (LATER, {"since_sent": HOUR}, Fail()),  # An earlier attempt may have taken effect.
        (UNKNOWN, {"turning_back": True}, Again(WAIT)),  # It is what the saga goes back for.
    ],
)
def test_an_attempt_of_a_compensation(outcome, circumstances, verdict):
    assert judge(PAY, BACK, outcome, record(**circumstances)) == verdict


@pytest.mark.parametrize("outcome", [LATER, UNKNOWN])
@pytest.mark.parametrize("direction", Direction)
def test_a_step_may_say_itself_when_to_come_back(outcome, direction):
    verdict = judge(PAY, direction, outcome, record(), delay=HOUR)
    assert isinstance(verdict, Again)
    assert verdict.delay == HOUR


@pytest.mark.parametrize(
    ("steps_own", "definitions", "outcome", "circumstances", "verdict"),
    [
        (None, COMPENSATE, LATER, {"spent": 3}, Fail()),
        (None, HALT, LATER, {"spent": 3}, Fail(Attention.STEP_EXHAUSTED)),
        (None, HALT, UNKNOWN, {"spent": 3}, Doubt(Attention.STEP_EXHAUSTED)),
        (HALT, COMPENSATE, LATER, {"spent": 3}, Fail(Attention.STEP_EXHAUSTED)),
        (COMPENSATE, HALT, LATER, {"spent": 3}, Fail()),
        # Only attempts that are used up: a refusal is an answer, and a saga going back does not stop for it.
        (HALT, HALT, NOT_DONE, {}, Fail()),
        (HALT, HALT, NOT_DONE, {"in_doubt": True}, Doubt()),
        (HALT, HALT, LATER, {"spent": 3, "turning_back": True}, Fail()),
        (HALT, HALT, LATER, {"spent": 2}, Again(WAIT)),
    ],
)
def test_what_follows_when_attempts_are_used_up(steps_own, definitions, outcome, circumstances, verdict):
    element = step("pay", retry=STEADY, on_exhausted=steps_own)
    assert judge(element, FORWARD, outcome, record(**circumstances), on_exhausted=definitions) == verdict


@pytest.mark.parametrize(
    ("resend", "elapsed", "may"),
    [
        (ALWAYS, 10_000 * HOUR, True),
        (NEVER, timedelta(0), False),
        (HOUR, HOUR - SECOND, True),
        (HOUR, HOUR, False),
    ],
)
def test_how_long_a_participant_knows_a_key(resend, elapsed, may):
    element = step("pay", participant=Participant("bank", resend=resend), retry=STEADY, undo_retry=STEADY)
    unknown = record(since_sent=elapsed)

    assert element.may_resend(elapsed) is may
    assert isinstance(judge(element, FORWARD, UNKNOWN, unknown), Again if may else Doubt)
    assert isinstance(judge(element, BACK, UNKNOWN, unknown), Again if may else Fail)
    assert isinstance(judge(element, FORWARD, LATER, unknown), Again)


def test_by_default_a_participant_knows_a_key_for_a_day():
    element = step("pay", participant=Participant("bank"))
    assert element.may_resend(24 * HOUR - SECOND)
    assert not element.may_resend(24 * HOUR)


def test_a_step_without_participant_may_be_repeated_at_any_time():
    assert NOTE.may_resend(timedelta(days=3650))


@pytest.mark.parametrize(
    ("direction", "outcome", "element", "spent", "in_doubt", "elapsed", "turning_back", "on_exhausted"),
    list(
        product(
            Direction,
            Outcome,
            (PAY, LOOK, NOTE),
            (1, 3),
            (False, True),
            (SECOND, 2 * HOUR),
            (False, True),
            (COMPENSATE, HALT),
        )
    ),
)
def test_in_every_circumstance_a_verdict_keeps_its_word(
    direction, outcome, element, spent, in_doubt, elapsed, turning_back, on_exhausted
):
    if direction is BACK and element is LOOK:
        return  # There is nothing to run.
    told = record(spent=spent, in_doubt=in_doubt, since_sent=elapsed, turning_back=turning_back)
    verdict: Verdict = judge(element, direction, outcome, told, on_exhausted=on_exhausted)

    may_have_happened = outcome is UNKNOWN or in_doubt
    assert isinstance(verdict, Complete) is (outcome is DONE)
    assert isinstance(verdict, GiveBack) is (outcome is UNSENT)
    if isinstance(verdict, Again):
        assert outcome in (LATER, UNKNOWN)
        assert spent < 3
        assert not (turning_back and direction is FORWARD)
        assert not (may_have_happened and element is PAY and elapsed >= HOUR)
    if isinstance(verdict, Fail) and direction is FORWARD:
        assert element.read_only or not may_have_happened
    if isinstance(verdict, Doubt):
        assert direction is FORWARD
        assert may_have_happened
        assert not element.read_only
    if isinstance(verdict, Fail | Doubt) and verdict.attention:
        assert not turning_back
        assert outcome is not NOT_DONE


@pytest.mark.parametrize(
    ("element", "direction", "circumstances", "verdict"),
    [
        # The worker died, so nobody knows: it is tried again at once, under the same key.
        (PAY, FORWARD, {}, Again(timedelta(0), in_doubt=True)),
        (PAY, BACK, {}, Again(timedelta(0), in_doubt=True)),
        (LOOK, FORWARD, {}, Again(timedelta(0), in_doubt=True)),
        # Crashes are not what the retry policy counts.
        (PAY, FORWARD, {"spent": 99}, Again(timedelta(0), in_doubt=True)),
        # But a key that the participant may have forgotten is not sent again.
        (PAY, FORWARD, {"since_sent": HOUR}, Doubt(Attention.UNKNOWN_OUTCOME)),
        (PAY, BACK, {"since_sent": HOUR}, Fail()),
        (LOOK, FORWARD, {"since_sent": HOUR}, Again(timedelta(0), in_doubt=True)),
        (NOTE, FORWARD, {"since_sent": 1000 * HOUR}, Again(timedelta(0), in_doubt=True)),
        # A saga that goes back makes no further attempt of an action.
        (PAY, FORWARD, {"turning_back": True}, Doubt()),
        (LOOK, FORWARD, {"turning_back": True}, Fail()),
        (PAY, BACK, {"turning_back": True}, Again(timedelta(0), in_doubt=True)),
    ],
)
def test_an_attempt_that_was_lost_with_its_worker(element, direction, circumstances, verdict):
    told = record(in_doubt=True, **circumstances)
    assert judge_lost(element, direction, told, lone_crashes=0, limit=3) == verdict
    assert judge_lost(element, direction, told, lone_crashes=2, limit=3) == verdict


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("lone_crashes", [3, 4])
def test_a_step_that_killed_its_worker_too_often_while_alone_is_a_crash_loop(direction, lone_crashes):
    verdict = judge_lost(PAY, direction, record(in_doubt=True), lone_crashes=lone_crashes, limit=3)
    assert isinstance(verdict, Again)
    assert verdict.attention is Attention.CRASH_LOOP


def test_the_policy_of_the_compensation_is_its_own():
    element = Step(
        PAY.action,
        compensation=PAY.compensation,
        retry=RetryPolicy(attempts=1),
        undo_retry=RetryPolicy(attempts=2, first_delay=WAIT, jitter=0),
    )
    assert judge(element, FORWARD, LATER, record()) == Fail()
    assert judge(element, BACK, LATER, record()) == Again(WAIT)
