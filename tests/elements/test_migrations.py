"""Sagas that were begun under an older version of their definition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sagas import HALT, Migration, OutcomeUnknown, RetryLater, SubSaga, WaitForEvent, offer
from sagas.engine import inbox
from sagas.exceptions import OperationRefused
from sagas.models import Saga
from sagas.operations.performing import availability, perform
from sagas.operations.previewing import preview
from sagas.testing import advance, run_due, run_saga
from tests.samples import HOUR, ONCE, OrderInput, statuses, step

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


def test_one_that_a_later_version_renamed_is_added_under_its_present_name(define, play, old):
    define(
        *(step(name) for name in ("book", "pay", "pack", "insure", "send")),
        version=3,
        migrations={1: Migration(added=["cover"]), 2: Migration(renamed={"cover": "insure"})},
    )
    advance(2 * HOUR)
    assert play.calls == ["book", "pay", "pay", "pack", "insure", "send"]


def test_names_may_change_places(define, play, old):
    saga = carried_over(
        define,
        old,
        *(step(name) for name in ("pay", "book", "pack", "send")),
        renamed={"pay": "x", "book": "pay", "x": "book"},
    )
    assert (saga.status, play.calls[2:]) == ("completed", ["book", "pack", "send"])


def test_what_a_renamed_step_was_told_it_has_been_told(define, play):
    paid = WaitForEvent("paid", correlate="{order_id}", timeout=HOUR, name="paid")
    saga = run_saga(define(step("book"), paid, input=OrderInput), {"order_id": "7"})
    offer("paid", {"by": "card"}, key="7")
    inbox.deliver()
    settled = replace(paid, name="settled")
    define(
        step("book"),
        settled,
        input=OrderInput,
        version=2,
        migrations={1: Migration(renamed={"paid": "settled"})},
    )
    advance(2 * HOUR)
    saga.refresh_from_db()
    assert (saga.status, statuses(saga)) == ("completed", {"book": "completed", "settled": "completed"})


@pytest.mark.parametrize("renamed", [{}, {"inner": "within"}], ids=["another kind", "renamed"])
def test_a_step_that_has_children_stays_what_it_is(define, play, renamed):
    """A step of another kind or name would not find them, and would call its work done or undone."""
    inner = define(step("pay"), name="samples.inner", undo_after_completion=True)
    child = SubSaga(inner, input=lambda ctx: {}, name="inner")
    play.says("tell", BUSY)
    saga = run_saga(define(child, step("tell")), {})
    changed = replace(child, name="within") if renamed else step("inner")
    define(changed, step("tell"), version=2, migrations={1: Migration(renamed=renamed)})
    with pytest.raises(OperationRefused, match="steps that samples"):
        perform(saga.pk, "compensate", by=None)
    advance(2 * HOUR)
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("failed", "definition_drift")
    assert saga.children.get().status == "completed"


def test_one_that_may_have_happened_is_not_removed_while_it_waits_to_be_tried_again(define, play):
    play.says("pay", OutcomeUnknown("no answer"))
    pivot = step("pay", pivot=True, retry=ONCE)
    saga = run_saga(define(step("book"), pivot), {})
    perform(saga.pk, "retry", by=None)
    define(step("book"), version=2, migrations={1: Migration(removed=["pay"])})
    run_due()
    saga.refresh_from_db()
    assert (saga.status, saga.attention) == ("failed", "definition_drift")


def test_who_acts_on_a_saga_at_rest_acts_on_it_as_it_is_now(define, play):
    play.always("pay", OutcomeUnknown("no answer"))
    saga = run_saga(define(step("book"), step("pay", retry=ONCE, on_exhausted=HALT)), {})
    changed = step("book"), step("charge", retry=ONCE, on_exhausted=HALT)
    define(*changed, version=2, migrations={1: Migration(renamed={"pay": "charge"})})
    assert availability(saga.pk, by=None)["compensate"] is None
    assert [call.step for call in preview(saga.pk, "compensate", by=None).calls] == ["charge", "book"]
    assert Saga.objects.get(pk=saga.pk).version == 1
    perform(saga.pk, "compensate", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", ["book", "pay", "undo charge", "undo book"])
