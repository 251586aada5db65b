"""How often, and how far apart, a step is attempted."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often, and how far apart, a step is attempted.

    The wait after attempt *n* is ``first_delay * factor ** (n - 1)``, at most ``max_delay``, lengthened by
    up to ``jitter`` of itself so that steps that failed together do not come back together. Attempts that
    were lost with their worker do not count.
    """

    attempts: int | None = 5
    """Attempts in all, the first included; None sets no bound."""
    first_delay: timedelta = timedelta(seconds=1)
    factor: float = 2
    max_delay: timedelta = timedelta(minutes=1)
    jitter: float = 0.2
    """A share of the delay, 0 to 1."""
    give_up_after: timedelta | None = None
    """No attempt begins later than this after the first; None sets no bound."""

    def __post_init__(self) -> None:
        if self.attempts is None and self.give_up_after is None:
            raise ValueError("A RetryPolicy needs a bound: set attempts, give_up_after or both.")
        if self.attempts is not None and self.attempts < 1:
            raise ValueError(
                f"RetryPolicy.attempts counts the first attempt: at least 1, not {self.attempts}."
            )
        if self.first_delay < timedelta(0) or self.max_delay < timedelta(0):
            raise ValueError("The delays of a RetryPolicy cannot be negative.")
        if self.factor < 1:
            raise ValueError(f"RetryPolicy.factor must be at least 1, not {self.factor}.")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"RetryPolicy.jitter is a share from 0 to 1, not {self.jitter}.")

    def base_delay(self, attempts: int) -> timedelta:
        """Return the wait after attempt number `attempts` (from 1), without jitter."""
        # The exponent is bounded before the power, or a patient policy would overflow a float.
        doublings = min(attempts - 1, 64)
        seconds = self.first_delay.total_seconds() * self.factor**doublings
        return min(timedelta(seconds=min(seconds, 1e9)), self.max_delay)

    def delay(self, attempts: int) -> timedelta:
        """Return the wait after attempt number `attempts` (from 1), jitter included."""
        return self.base_delay(attempts) * (1 + self.jitter * random.random())

    def allows(self, attempts: int, elapsed: timedelta) -> bool:
        """Say whether another attempt may follow `attempts` of them, `elapsed` after the first was begun."""
        if self.attempts is not None and attempts >= self.attempts:
            return False
        return self.give_up_after is None or elapsed < self.give_up_after


STANDARD = RetryPolicy()
"""5 attempts within about 15 seconds."""

PATIENT = RetryPolicy(attempts=12, first_delay=timedelta(seconds=5), max_delay=timedelta(minutes=10))
"""12 attempts within about 50 minutes."""

PERSISTENT = RetryPolicy(
    attempts=None,
    first_delay=timedelta(seconds=10),
    max_delay=timedelta(minutes=15),
    give_up_after=timedelta(hours=24),
)
"""For a day, at most 15 minutes apart."""
