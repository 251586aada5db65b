"""Sagas that were begun under an older version of their definition."""

from __future__ import annotations

import pytest

from sagas import Migration, RetryLater
from sagas.models import Saga
from sagas.testing import advance, run_saga
from tests.samples import HOUR, statuses, step

pytestmark = pytest.mark.django_db

BUSY = RetryLater("busy", delay=HOUR)


@pytest.fixture
def old(define, play):
    """A saga of version 1 that has booked and waits to pay."""
    play.says("pay", BUSY)
    return run_saga(define(step("book"), step("pay"), step("pack"), step("send")), {})


def carried_over(define, saga, *elements, **migration):
    define(*elements, version=2, migrations={1: Migration(**migration)})
    advance(2 * HOUR)
    return Saga.objects.get(pk=saga.pk)


def test_steps_are_renamed(define, play, old):
    saga = carried_over(
        define,
        old,
        step("book"),
        step("charge"),
        step("pack"),
        step("ship"),
        renamed={"pay": "charge", "send": "ship"},
    )
    assert (saga.status, saga.version) == ("completed", 2)
    assert play.calls == ["book", "pay", "charge", "pack", "ship"]
    assert play.context("charge").idempotency_key == old.steps.get(name="charge").idempotency_key
    assert play.context("charge").attempt == 2


def test_steps_that_come_later_are_added_and_those_passed_are_skipped(define, play, old):
    saga = carried_over(
        define,
        old,
        *(step(name) for name in ("ask", "book", "pay", "wrap", "pack", "send")),
        added=["ask", "wrap"],
    )
    assert (saga.status, saga.steps_total) == ("completed", 6)
    assert play.calls == ["book", "pay", "pay", "wrap", "pack", "send"]
    assert list(statuses(saga)) == ["ask", "book", "pay", "wrap", "pack", "send"]
    assert statuses(saga)["ask"] == "skipped"


def test_steps_that_were_not_begun_are_removed(define, play, old):
    saga = carried_over(define, old, step("book"), step("pay"), step("send"), removed=["pack"])
    assert (saga.status, play.calls) == ("completed", ["book", "pay", "pay", "send"])


def test_one_that_was_begun_halts_the_saga(define, play, old):
    saga = carried_over(define, old, step("pay"), step("pack"), step("send"), removed=["book"])
    assert (saga.status, saga.attention) == ("failed", "definition_drift")


def test_without_a_migration_it_keeps_the_steps_it_has(define, play, old):
    define(*(step(name) for name in ("book", "pay", "wrap", "pack", "send")), version=2)
    advance(2 * HOUR)
    saga = Saga.objects.get(pk=old.pk)
    assert (saga.status, saga.version) == ("completed", 1)
    assert play.calls == ["book", "pay", "pay", "pack", "send"]


def test_over_several_versions(define, play, old):
    define(
        *(step(name) for name in ("book", "charge", "pack", "send")),
        version=3,
        migrations={1: Migration(renamed={"pay": "debit"}), 2: Migration(renamed={"debit": "charge"})},
    )
    advance(2 * HOUR)
    saga = Saga.objects.get(pk=old.pk)
    assert (saga.status, saga.version, play.calls[-3:]) == ("completed", 3, ["charge", "pack", "send"])
