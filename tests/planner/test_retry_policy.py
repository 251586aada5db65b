"""How often, and how far apart: the series of a policy, with the arithmetic beside it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagas import PATIENT, PERSISTENT, STANDARD, RetryPolicy

SECOND = timedelta(seconds=1)
NO_TIME = timedelta(0)


@pytest.mark.parametrize(
    ("policy", "seconds"),
    [
        (STANDARD, [1, 2, 4, 8, 16, 32, 60, 60]),  # 1 · 2^(n-1), at most 60
        (PATIENT, [5, 10, 20, 40, 80, 160, 320, 600, 600]),  # 5 · 2^(n-1), at most 600
        (PERSISTENT, [10, 20, 40, 80, 160, 320, 640, 900, 900]),  # 10 · 2^(n-1), at most 900
        (RetryPolicy(first_delay=3 * SECOND, factor=1), [3, 3, 3, 3]),  # 3 · 1^(n-1)
        (RetryPolicy(first_delay=3 * SECOND, factor=1.5), [3, 4.5, 6.75, 10.125]),  # 3 · 1.5^(n-1)
        (RetryPolicy(first_delay=NO_TIME), [0, 0, 0]),  # 0 · 2^(n-1)
        (RetryPolicy(first_delay=90 * SECOND), [60, 60]),  # the bound is above the first delay too
        (RetryPolicy(max_delay=NO_TIME), [0, 0]),  # at most nothing
    ],
)
def test_the_wait_after_each_attempt(policy, seconds):
    assert [policy.base_delay(n).total_seconds() for n in range(1, len(seconds) + 1)] == seconds


@pytest.mark.parametrize(
    "policy", [STANDARD, PATIENT, PERSISTENT, RetryPolicy(factor=10, max_delay=timedelta.max)]
)
@pytest.mark.parametrize("attempts", [65, 1000, 10**6, 10**9])
def test_the_wait_does_not_overflow_however_many_attempts_there_were(policy, attempts):
    assert policy.base_delay(attempts) <= policy.max_delay
    assert policy.delay(attempts) >= policy.base_delay(attempts)


policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 100),
    first_delay=st.timedeltas(min_value=NO_TIME, max_value=timedelta(days=1)),
    factor=st.floats(1, 10),
    max_delay=st.timedeltas(min_value=NO_TIME, max_value=timedelta(days=30)),
    jitter=st.floats(0, 1),
)


@given(policies, st.integers(1, 10**6))
def test_the_wait_never_gets_shorter_nor_longer_than_the_bound(policy, attempts):
    assert NO_TIME <= policy.base_delay(attempts) <= policy.base_delay(attempts + 1) <= policy.max_delay


@given(policies, st.integers(1, 10**6))
def test_jitter_lengthens_the_wait_by_up_to_its_share(policy, attempts):
    base = policy.base_delay(attempts)
    assert base <= policy.delay(attempts) <= base * (1 + policy.jitter) + timedelta(microseconds=1)


def test_jitter_keeps_apart_what_failed_together():
    assert len({STANDARD.delay(5) for _ in range(50)}) > 40
    assert {RetryPolicy(jitter=0).delay(5) for _ in range(50)} == {16 * SECOND}


@pytest.mark.parametrize(
    ("policy", "attempts", "elapsed", "allowed"),
    [
        (STANDARD, 4, NO_TIME, True),
        (STANDARD, 5, NO_TIME, False),  # 5 in all, the first included
        (STANDARD, 1, timedelta(days=365), True),  # bounded by number alone
        (RetryPolicy(attempts=1), 1, NO_TIME, False),
        (PERSISTENT, 10**6, timedelta(hours=24) - SECOND, True),  # bounded by time alone
        (PERSISTENT, 1, timedelta(hours=24), False),
        (RetryPolicy(attempts=3, give_up_after=SECOND), 3, NO_TIME, False),  # whichever comes first
        (RetryPolicy(attempts=3, give_up_after=SECOND), 1, SECOND, False),
        (RetryPolicy(attempts=3, give_up_after=SECOND), 2, SECOND / 2, True),
    ],
)
def test_attempts_have_an_end(policy, attempts, elapsed, allowed):
    assert policy.allows(attempts, elapsed) is allowed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attempts": None}, "A RetryPolicy needs a bound: set attempts, give_up_after or both."),
        ({"attempts": 0}, "RetryPolicy.attempts counts the first attempt: at least 1, not 0."),
        ({"first_delay": -SECOND}, "The delays of a RetryPolicy cannot be negative."),
        ({"max_delay": -SECOND}, "The delays of a RetryPolicy cannot be negative."),
        ({"factor": 0.5}, "RetryPolicy.factor must be at least 1, not 0.5."),
        ({"jitter": 1.5}, "RetryPolicy.jitter is a share from 0 to 1, not 1.5."),
        ({"jitter": -0.1}, "RetryPolicy.jitter is a share from 0 to 1, not -0.1."),
    ],
)
def test_a_policy_that_cannot_work_is_refused(options, message):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  (the whole message is compared)
        RetryPolicy(**options)
    assert str(refusal.value) == message
