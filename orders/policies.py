"""How patient the shop is with its services."""

from datetime import timedelta

from sagas import RetryPolicy

BRISK = RetryPolicy(attempts=5, first_delay=timedelta(milliseconds=200), max_delay=timedelta(seconds=2))
"""5 attempts within about 4 seconds: whoever watches an order does not want to wait longer."""

TIRELESS = RetryPolicy(
    attempts=None,
    first_delay=timedelta(milliseconds=200),
    max_delay=timedelta(minutes=1),
    give_up_after=timedelta(hours=24),
)
"""For a day: what was begun in earnest, a way back above all, is not given up because a service is slow."""
