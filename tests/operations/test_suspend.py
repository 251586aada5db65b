"""Stopping a saga, and letting it go on."""

from __future__ import annotations

import pytest

from sagas.operations.performing import perform
from sagas.testing import advance, run_due
from tests.operations import situations
from tests.samples import HOUR, MINUTE

pytestmark = pytest.mark.django_db


def test_a_suspended_saga_rests_until_it_is_resumed(define, play):
    saga = situations.suspended_between_attempts(define, play)
    advance(HOUR)
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("suspended", ["book", "pay"])
    assert (saga.due_at, saga.held_by) == (None, None)

    perform(saga.pk, "resume", by=None)
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_also_on_the_way_back(define, play):
    saga = situations.suspended_on_the_way_back(define, play)
    advance(HOUR)
    assert play.calls.count("undo book") == 1
    perform(saga.pk, "resume", by=None)
    run_due()
    saga.refresh_from_db()
    assert saga.status == "compensated"


def test_resuming_does_not_hurry_what_waits(define, play):
    saga = situations.suspended_between_attempts(define, play)
    perform(saga.pk, "resume", by=None)
    run_due()
    assert play.calls.count("pay") == 1
    advance(MINUTE)
    assert play.calls.count("pay") == 2


def test_a_suspended_saga_can_be_turned_back(define, play):
    saga = situations.suspended_between_attempts(define, play)
    perform(saga.pk, "compensate", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", ["book", "pay", "undo book"])
