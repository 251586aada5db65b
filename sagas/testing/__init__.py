"""For tests of sagas and of their steps: the real engine in this process, on a clock that tests move.

Everything happens in the caller's thread and on its database connection, so that it works inside
pytest-django's ``django_db`` and Django's ``TestCase``. A step's time-out is not enforced here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db.models import Min

from sagas import clock
from sagas.choreography.courier import Courier, deliver_due
from sagas.conf import saga_settings
from sagas.definitions import SagaDefinition, Step, StepContext
from sagas.engine.attempts import Attempt
from sagas.engine.callbacks import callback_to
from sagas.engine.claims import claim, known
from sagas.engine.errands import run_pending, sweep
from sagas.engine.exploration import Path, explore
from sagas.engine.functions import call_here
from sagas.engine.settlement import settle
from sagas.engine.slots import Slots
from sagas.keys import step_key
from sagas.models import Saga
from sagas.operations.starting import start
from sagas.states import Direction

__all__ = ["Path", "advance", "explore", "make_context", "run_due", "run_saga"]

MOST_ROUNDS = 10_000
MANY = 1_000_000


def make_context(
    step: Step | str,
    *,
    input: Mapping[str, Any] | None = None,
    results: Mapping[str, Mapping[str, Any]] | None = None,
    undo: bool = False,
    result: Mapping[str, Any] | None = None,
    attempt: int = 1,
    saga_id: UUID | None = None,
    key: str | None = None,
) -> StepContext:
    """Return the context of a step's action, or with `undo` of its compensation, for calling it directly.

    The same `saga_id` and step give the same idempotency keys, so that an action and its compensation meet.
    """
    name = step if isinstance(step, str) else step.name
    saga_id = saga_id or uuid4()
    action_key = step_key(saga_id, name, Direction.FORWARD)
    return StepContext(
        saga_id=saga_id,
        key=key,
        input=dict(input or {}),
        results={name: dict(given) for name, given in (results or {}).items()},
        attempt=attempt,
        idempotency_key=step_key(saga_id, name, Direction.BACK) if undo else action_key,
        undoes=action_key if undo else None,
        result=result,
        issue_callback=partial(callback_to, saga_id),
    )


def run_saga(definition: type[SagaDefinition] | str, input: Mapping[str, Any], **options: Any) -> Saga:
    """Start a saga, as `sagas.start` does, and run it until nothing of it is due now.

    It has then ended, needs a person, or waits for a later time: `advance` moves the clock.
    """
    saga = start(definition, input, **options)
    run_due()
    saga.refresh_from_db()
    return saga


def run_due() -> None:
    """Run every saga that is due now, until none is."""
    worker = uuid4()
    lease = saga_settings().lease
    slots = Slots(threads=MANY, tasks=MANY)
    attempts: list[Attempt] = []
    sweep()
    for _ in range(MOST_ROUNDS):
        if attempts:
            outcomes = [call_here(attempt) for attempt in attempts]
            attempts = settle(outcomes, worker, slots, lease=lease).attempts
            continue
        run_pending()
        if deliver_due(worker):
            continue
        claimed = claim(worker, slots, limit=saga_settings().batch, lease=lease)
        attempts = claimed.attempts
        if not (claimed.moved or claimed.full or claimed.apart):
            return
    raise AssertionError(
        f"Sagas were still due after {MOST_ROUNDS} rounds: some step asks for no delay for ever."
    )


def advance(delta: timedelta) -> None:
    """Move the clock on by `delta`, running every saga at the time it comes due on the way."""
    end = clock.database_now(Saga.objects.db) + delta
    while True:
        now = clock.database_now(Saga.objects.db)
        saga_due = Saga.objects.filter(known(), due_at__isnull=False).aggregate(at=Min("due_at"))["at"]
        beside = Courier().earliest()
        due = min((at for at in (saga_due, beside) if at is not None and at <= end), default=None)
        if due is None:
            clock.shift(max(end - now, timedelta(0)))
            return
        clock.shift(max(due - now, timedelta(0)))
        run_due()
