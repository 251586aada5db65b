"""Broken engines: each breaks one rule, and the harness has to find that out.

The product knows nothing of them. A process whose environment names one patches itself when it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.db import transaction

from sagas import participants
from sagas.choreography import handling
from sagas.choreography.delivery import Delivery
from sagas.choreography.delivery import Outcome as DeliveryOutcome
from sagas.engine import beginnings, calls, claims, functions, outcomes, settlement, steering
from sagas.engine import locked as locked_rows
from sagas.engine.attempts import Attempt, Held, Settled
from sagas.engine.locked import Locked
from sagas.idempotency import meet
from sagas.models import IdempotencyRecord, SagaFact
from sagas.states import Call, Direction, Outcome


@dataclass(frozen=True)
class Mutant:
    """A rule, and how to break it."""

    rule: str
    break_it: Callable[[], None]


def _key_per_attempt() -> None:
    def attempt(*args: Any, **fields: Any) -> Attempt:
        made = Attempt(*args, **fields)
        return replace(made, idempotency_key=f"{made.idempotency_key}:{made.number}")

    _put(beginnings, "Attempt", attempt)


def _no_fence() -> None:
    take = claims._take

    def take_without_fence(locked: Locked, *args: Any) -> Held:
        held = take(locked, *args)
        locked.saga.fence -= 1
        held.fence -= 1
        return held

    _put(claims, "_take", take_without_fence)
    _put(settlement.Settling, "_is_ours", lambda self, locked, attempt: True)


def _apply_late_result() -> None:
    """Take whatever answer comes for the answer of the attempt in flight. Fence and number each forbid it."""

    def fits(locked: Locked, attempt: Attempt) -> bool:
        step = locked.steps.get(attempt.step.name)
        return step is not None and step.in_flight and step.direction is attempt.direction

    _put(settlement, "fits", fits)
    _put(settlement.Settling, "_is_ours", lambda self, locked, attempt: True)


def _mark_after_call() -> None:
    """Make the call within the transaction that marks it: not each, for a transaction would take too long."""
    made: dict[tuple[UUID, str, Direction, int], Settled] = {}
    turn = count()
    really_call = functions.call_here

    def name(attempt: Attempt) -> tuple[UUID, str, Direction, int]:
        return attempt.held.id, attempt.step.name, attempt.direction, attempt.number

    def advance(*args: Any) -> list[Attempt]:
        attempts = steering.advance(*args)
        for attempt in attempts:
            on_loop = attempt.step.runs_on_loop(attempt.direction, attempt.call)
            is_plain = not on_loop and not attempt.is_atomic and attempt.call is Call.ACTION
            if is_plain and next(turn) % 4 == 0:
                made[name(attempt)] = really_call(attempt)
        return attempts

    _put(claims, "advance", advance)
    _put(settlement, "advance", advance)
    _put(calls, "call_here", lambda attempt: made.pop(name(attempt), None) or really_call(attempt))


def _count_attempts_at_the_end() -> None:
    send, fits, apply = beginnings._send, outcomes.fits, outcomes.apply

    def counts(attempt: Attempt) -> bool:
        return attempt.direction is Direction.FORWARD and attempt.call is Call.ACTION

    def send_uncounted(locked: Locked, *args: Any) -> Attempt | None:
        attempt = send(locked, *args)
        if attempt is not None and counts(attempt):
            locked.step(attempt.step.name).attempts -= 1
        return attempt

    def fits_the_next(locked: Locked, attempt: Attempt) -> bool:
        step = locked.steps.get(attempt.step.name)
        if step is None or not counts(attempt):
            return fits(locked, attempt)
        step.attempts += 1
        found = fits(locked, attempt)
        step.attempts -= 1
        return found

    def count_and_apply(locked: Locked, settled: Settled) -> None:
        if counts(settled.attempt):
            locked.step(settled.attempt.step.name).attempts += 1
        apply(locked, settled)

    _put(beginnings, "_send", send_uncounted)
    _put(settlement, "fits", fits_the_next)
    _put(settlement, "apply", count_and_apply)


def _unknown_as_failed() -> None:
    raised = functions.raised

    def surely_failed(*args: Any, **options: Any) -> Settled:
        settled = raised(*args, **options)
        return replace(settled, outcome=Outcome.NOT_DONE) if settled.outcome is Outcome.UNKNOWN else settled

    _put(functions, "raised", surely_failed)
    _put(calls, "raised", surely_failed)


def _no_tombstone() -> None:
    undo_once = participants.undo_once

    def undo_and_forget(key: Any, undo: Callable[[dict[str, Any]], None]) -> bool:
        with transaction.atomic(using=IdempotencyRecord.objects.db):
            record, is_new = meet(key, scope=participants.SCOPE, ttl=None)
            if is_new:
                record.delete()
                return False
            return undo_once(key, undo)

    _put(participants, "undo_once", undo_and_forget)


def _plan_from_memory() -> None:
    """Go on with the facts that were there when this process first had the saga."""
    remembered: dict[UUID, list[SagaFact]] = {}
    take = claims._take

    def remember(locked: Locked) -> None:
        locked.facts = remembered.setdefault(locked.saga.pk, locked.facts)

    def take_and_remember(locked: Locked, *args: Any) -> Held:
        remember(locked)
        return take(locked, *args)

    def lock_and_remember(*args: Any, **options: Any) -> list[Locked]:
        found = locked_rows.lock_all(*args, **options)
        for locked in found:
            remember(locked)
        return found

    _put(claims, "_take", take_and_remember)
    _put(settlement, "lock_all", lock_and_remember)


def _inbox_outside() -> None:
    """Commit what handlers write, and then, on its own, that they have handled their events."""
    really_perform = handling.perform

    def perform(
        group: Sequence[Delivery],
        worker: UUID,
        *,
        trusting: bool = False,
        begin: Callable[[Delivery], None] = lambda delivery: None,
    ) -> list[DeliveryOutcome]:
        if not group[0].subscription.atomic:
            return really_perform(group, worker, trusting=trusting, begin=begin)
        outcomes = []
        with transaction.atomic():
            for delivery in group:
                begin(delivery)
                outcomes.append(handling._call_guarded(delivery))
        with transaction.atomic():
            handling._settle(worker, outcomes)
        return outcomes

    _put(handling, "perform", perform)


def _put(place: Any, name: str, broken: Any) -> None:
    patch.object(place, name, broken).start()


MUTANTS = {
    "key per attempt": Mutant("One key for every attempt of a step.", _key_per_attempt),
    "no fence": Mutant("Every claim raises the fence, and results count under it only.", _no_fence),
    "apply late result": Mutant("Only the attempt in flight counts.", _apply_late_result),
    "mark after call": Mutant("What is sent was marked before, durably.", _mark_after_call),
    "attempts counted at the end": Mutant("An attempt counts when it is marked.", _count_attempts_at_the_end),
    "UNKNOWN as failed": Mutant("What is not known is not taken for failed.", _unknown_as_failed),
    "no tombstone": Mutant("What was undone before it was done is never done.", _no_tombstone),
    "plan from memory": Mutant("A settlement plans on rows read under lock.", _plan_from_memory),
    "inbox outside the transaction": Mutant(
        "What a handler writes commits with the record that it has handled its event.", _inbox_outside
    ),
}
