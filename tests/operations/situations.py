"""Sagas in every situation in which something may be asked of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sagas import HALT, OutcomeUnknown, PermanentFailure, RetryLater, clock, start
from sagas.clock import database_now
from sagas.models import Saga
from sagas.operations.performing import perform
from sagas.testing import run_saga
from tests.engine.hands import Hand
from tests.samples import MINUTE, ONCE, STEADY, Define, Play, step

Situation: TypeAlias = Callable[[Define, Play], Saga]

NO = PermanentFailure("no")
BUSY = RetryLater("busy")
LOST = OutcomeUnknown("no answer")


def _trip(define: Define, **options: Any) -> Saga:
    return run_saga(
        define(
            step("book", undo_retry=STEADY),
            step("pay", retry=STEADY),
            step("send", pivot=True, retry=STEADY),
            step("tell", undo=False, retry=STEADY),
            **options,
        ),
        {},
    )


def pending(define: Define, play: Play) -> Saga:
    return start(define(step("book"), step("pay")), {})


def in_hand(define: Define, play: Play) -> Saga:
    saga = pending(define, play)
    Hand().take()
    return saga


def between_attempts(define: Define, play: Play) -> Saga:
    play.says("pay", BUSY)
    return _trip(define)


def past_its_pivot(define: Define, play: Play) -> Saga:
    play.says("tell", BUSY)
    return _trip(define)


def perhaps_past_its_pivot(define: Define, play: Play) -> Saga:
    play.says("send", LOST)
    return _trip(define)


def on_the_way_back(define: Define, play: Play) -> Saga:
    play.says("pay", NO)
    play.says("undo book", BUSY)
    return _trip(define)


def in_hand_on_the_way_back(define: Define, play: Play) -> Saga:
    play.says("pay", NO)
    saga = start(define(step("book"), step("pay")), {})
    hand = Hand()
    attempts = hand.take()
    for _ in range(2):
        attempts = hand.settle(*hand.call(attempts)).attempts
    return saga


def suspended(define: Define, play: Play) -> Saga:
    saga = pending(define, play)
    perform(saga.pk, "suspend", by=None)
    return saga


def suspended_between_attempts(define: Define, play: Play) -> Saga:
    saga = between_attempts(define, play)
    perform(saga.pk, "suspend", by=None)
    return saga


def suspended_on_the_way_back(define: Define, play: Play) -> Saga:
    saga = on_the_way_back(define, play)
    perform(saga.pk, "suspend", by=None)
    return saga


def exhausted(define: Define, play: Play) -> Saga:
    play.says("pay", BUSY)
    return run_saga(define(step("book"), step("pay", retry=ONCE, on_exhausted=HALT)), {})


def exhausted_in_doubt(define: Define, play: Play) -> Saga:
    play.says("pay", LOST)
    return run_saga(define(step("book"), step("pay", retry=ONCE, on_exhausted=HALT)), {})


def failed_past_its_pivot(define: Define, play: Play) -> Saga:
    play.says("tell", NO)
    return _trip(define)


def failed_at_its_pivot(define: Define, play: Play) -> Saga:
    play.says("send", LOST)
    return run_saga(define(step("book"), step("send", pivot=True, retry=ONCE)), {})


def failed_on_the_way_back(define: Define, play: Play) -> Saga:
    play.says("pay", NO)
    play.says("undo book", NO)
    return _trip(define)


def completed(define: Define, play: Play) -> Saga:
    return _trip(define)


def compensated(define: Define, play: Play) -> Saga:
    play.says("pay", NO)
    return _trip(define)


def abandoned(define: Define, play: Play) -> Saga:
    saga = pending(define, play)
    now = database_now(Saga.objects.db)
    Saga.objects.filter(pk=saga.pk).update(status="abandoned", due_at=None, ended_at=now)
    return saga


def stuck(define: Define, play: Play) -> Saga:
    saga = pending(define, play)
    clock.shift(MINUTE)
    return saga


def left_by_its_worker(define: Define, play: Play) -> Saga:
    saga = in_hand(define, play)
    clock.shift(MINUTE)
    return saga
