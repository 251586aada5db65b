"""Steps at services of every kind, and how often they are tried."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sagas import ALWAYS, NEVER, Participant, RetryPolicy, Step
from tests.chaos import participants
from tests.chaos.ledger import Service

SECOND = timedelta(seconds=1)
TIMEOUT = 2 * SECOND
LANDS_WITHIN = 3 * SECOND
"""How long after it was sent a request may take effect, as the participants declare."""

PARTICIPANTS = {
    Service.SMART: Participant("smart", resend=ALWAYS, max_inflight=LANDS_WITHIN),
    Service.KEYED: Participant("keyed", resend=timedelta(hours=1), max_inflight=LANDS_WITHIN, limit=20),
    Service.DUMB: Participant("dumb", resend=NEVER, max_inflight=LANDS_WITHIN, limit=8),
    Service.LOCAL: Participant("local", resend=ALWAYS, max_inflight=LANDS_WITHIN),
}

BRISK = RetryPolicy(attempts=6, first_delay=SECOND / 5, factor=1.5, max_delay=SECOND)
ONCE = RetryPolicy(attempts=1)
TWICE = RetryPolicy(attempts=2, first_delay=SECOND / 5)
STUBBORN = RetryPolicy(
    attempts=None, give_up_after=timedelta(hours=1), first_delay=SECOND / 5, max_delay=SECOND
)


def step(
    name: str,
    service: Service,
    *,
    on_loop: bool = False,
    undo: bool = True,
    probe: bool = False,
    **options: Any,
) -> Step:
    """Return a step at a service."""
    make = participants.acting_on_loop if on_loop else participants.acting
    return Step(
        make(name, service),
        compensation=participants.undoing(name, service) if undo else None,
        probe=participants.probing(name, service) if probe else None,
        participant=PARTICIPANTS[service],
        timeout=TIMEOUT,
        undo_timeout=TIMEOUT,
        undo_retry=STUBBORN,
        **{"retry": BRISK} | options,
    )


def local_step(name: str, **options: Any) -> Step:
    """Return a step at a service that lives here."""
    return Step(
        participants.acting_here(name),
        compensation=participants.undoing_here(name),
        participant=PARTICIPANTS[Service.LOCAL],
        timeout=TIMEOUT,
        undo_retry=STUBBORN,
        **{"retry": BRISK} | options,
    )
