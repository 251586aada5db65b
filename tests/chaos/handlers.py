"""Handlers of events, as their parts say: each asks the world first, so that every call is known there."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta

from sagas import Choreography, Event, Expect, RetryPolicy, publish, subscribe
from tests.chaos.ledger import Service
from tests.chaos.models import Handled
from tests.chaos.participants import Failed, asked, understood
from tests.chaos.parts import CASE, CHARGED, CLOSED, ORDERED, PARTS, RESERVED, Part
from tests.chaos.steps import SECOND, TIMEOUT
from tests.chaos.wire import Message

LATELY = timedelta(seconds=30)
THRICE = RetryPolicy(attempts=3, first_delay=SECOND / 5, max_delay=SECOND)

CASES = Choreography(
    CASE,
    starts=ORDERED,
    ends=CLOSED,
    expects=[
        Expect(RESERVED, after=ORDERED, within=LATELY),
        Expect(CHARGED, after=RESERVED, within=LATELY),
        Expect(CLOSED, after=CHARGED, within=LATELY),
    ],
)


def _handler(part: Part) -> Callable[[Event], None]:
    def handle_here(event: Event) -> None:
        """Write a row and tell of it, guarded by nothing but the engine."""
        fate = understood(asked(_message(part, event, "handle")))
        told = publish(Event(part.tells, event.data, event.key)) if part.tells else [None]
        Handled.objects.create(event=event.id, subscriber=part.name, told=told[0])
        match fate:
            case "error_after":
                raise Failed
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)

    def handle_outside(event: Event) -> None:
        """Ask the world, which knows each event by its id."""
        understood(asked(_message(part, event, "undo" if part.undoes else "do")))
        if part.tells:
            publish(Event(part.tells, {**event.data, "key": str(event.id)}, event.key))

    return handle_outside if part.outside else handle_here


def _message(part: Part, event: Event, what: str) -> Message:
    return {
        "ask": what,
        "service": Service.SMART if part.outside else Service.ATOMIC,
        "saga": event.correlation_id,
        "event": str(event.id),
        "step": part.name,
        "way": "back" if event.is_way_back else "forward",
        "key": str(event.id),
        "undoes": event.data.get("key"),
        "attempt": event.attempt,
        "fates": event.data.get("plan", {}).get(part.name, []),
        "results": {},
        "pid": os.getpid(),
    }


for _part in PARTS:
    subscribe(
        _part.hears,
        name=_part.name,
        retry=THRICE,
        timeout=TIMEOUT,
        atomic=not _part.outside,
        undoes=_part.undoes,
    )(_handler(_part))
