"""The services that steps call, and what must be known of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import Final


class Resend(enum.Enum):
    """Bounds on sending one idempotency key again that are not a length of time."""

    ALWAYS = "always"
    """The participant keeps its keys for ever."""
    NEVER = "never"
    """The participant knows no keys: what may have been sent once is not sent again."""


ALWAYS: Final = Resend.ALWAYS
NEVER: Final = Resend.NEVER

WIRE_TIME = timedelta(seconds=30)
"""How long, beyond a step's time-out, a call is by default taken to be possibly on its way."""


@dataclass(frozen=True)
class Participant:
    """A service that steps call, and what must be known of it to call it again safely."""

    name: str
    limit: int | None = None
    """Attempts at once, over all workers. A call that timed out counts no more, and may still run."""
    rate: float | None = None
    """Attempts begun per second, over all workers."""
    resend: Resend | timedelta = timedelta(hours=24)
    """How long after the first send the same idempotency key may be sent again."""
    max_inflight: timedelta | None = None
    """How long after it was sent a call may still take effect; None is the time-out plus 30 seconds."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"Participant {self.name!r}: limit must be at least 1, not {self.limit}.")
        if self.rate is not None and not 0 < self.rate <= 10_000:
            raise ValueError(
                f"Participant {self.name!r}: rate is above 0 and at most 10 000, not {self.rate}."
            )

    @property
    def is_limited(self) -> bool:
        """Whether attempts at it have to be admitted."""
        return self.limit is not None or self.rate is not None
