"""Resolving, skipping, editing, restarting, abandoning: with their arguments."""

from __future__ import annotations

import pytest

from sagas import REFUSE, Participant, PermanentFailure, RetryLater, start
from sagas.exceptions import OperationRefused
from sagas.models import Permit, Saga, SemanticLock
from sagas.operations.performing import perform
from sagas.testing import advance, run_due, run_saga
from tests.engine.hands import Hand
from tests.operations import situations
from tests.samples import HOUR, OrderInput, history, statuses, step

pytestmark = pytest.mark.django_db

BUSY = RetryLater("busy", delay=HOUR)


def refused(saga: Saga, operation: str, **arguments):
    with pytest.raises(OperationRefused) as refusal:
        perform(saga.pk, operation, by=None, **arguments)
    return refusal.value.code, str(refusal.value)


def test_what_a_person_found_done_is_not_done_again(define, play):
    saga = situations.failed_at_its_pivot(define, play)
    perform(saga.pk, "resolve", by=None, outcome="done", result={"reference": "r"})
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls.count("send")) == ("completed", 1)
    assert saga.steps.get(name="send").result == {"reference": "r"}
    assert history(saga, "act")[-1].data == {"outcome": "done"}


def test_what_a_person_found_not_done_turns_the_saga_back(define, play):
    saga = situations.failed_at_its_pivot(define, play)
    perform(saga.pk, "resolve", by=None, outcome="not_done")
    run_due()
    saga.refresh_from_db()
    assert (saga.status, statuses(saga)) == ("compensated", {"book": "compensated", "send": "failed"})


@pytest.mark.parametrize(("arguments", "code"), [
    ({}, "invalid_argument"),
    ({"outcome": "perhaps"}, "invalid_argument"),
    ({"outcome": "done", "result": [1]}, "invalid_argument"),
    ({"outcome": "done", "result": {"x": "\x00"}}, "invalid_argument"),
    ({"outcome": "done", "step": "book"}, "invalid_argument"),
    ({"outcome": "done", "color": "red"}, "invalid_argument"),
])  # fmt: skip
def test_what_is_no_resolution_is_refused(define, play, arguments, code):
    assert refused(situations.failed_at_its_pivot(define, play), "resolve", **arguments)[0] == code


def test_only_what_is_not_known_is_resolved(define, play):
    code, why = refused(situations.exhausted(define, play), "resolve", outcome="done")
    assert (code, why.endswith("no step of it is unknown.")) == ("invalid_state", True)


def test_a_skipped_step_is_neither_done_nor_undone(define, play):
    saga = situations.exhausted(define, play)
    perform(saga.pk, "skip", by=None, step="pay")
    run_due()
    saga.refresh_from_db()
    assert (saga.status, statuses(saga)["pay"], play.calls) == ("completed", "skipped", ["book", "pay"])


def test_of_a_skipped_step_nothing_is_in_doubt(define, play):
    saga = situations.exhausted_in_doubt(define, play)
    assert saga.steps.get(name="pay").in_doubt
    perform(saga.pk, "skip", by=None, step="pay")
    assert not saga.steps.get(name="pay").in_doubt


def test_corrected_input_is_what_the_next_attempt_gets(define, play):
    play.says("pay", BUSY)
    saga = run_saga(define(step("pay"), input=OrderInput), {"order_id": "7", "amount": "1.00"})
    perform(saga.pk, "edit", by="alice", input={"amount": "2.50"})
    advance(2 * HOUR)
    saga.refresh_from_db()
    assert (saga.status, play.context("pay").input["amount"]) == ("completed", "2.50")
    [act] = history(saga, "act")
    assert act.data == {"before": {"amount": "1.00"}, "after": {"amount": "2.50"}}


def test_a_compensation_is_given_what_its_action_was(define, play):
    play.says("pay", BUSY, None, PermanentFailure("no"))
    play.says("tell", BUSY)
    definition = define(step("book"), step("pay"), step("tell"), input=OrderInput)
    saga = run_saga(definition, {"order_id": "7", "amount": "1.00"})
    perform(saga.pk, "edit", by="alice", input={"amount": "2.00"})
    advance(HOUR)
    perform(saga.pk, "edit", by="alice", input={"amount": "3.00"})
    perform(saga.pk, "compensate", by="alice")
    run_due()
    called = ("book", "undo book"), ("pay", "undo pay")
    amounts = [tuple(play.context(call).input["amount"] for call in calls) for calls in called]
    assert amounts == [("1.00", "1.00"), ("2.00", "2.00")]


@pytest.mark.parametrize("changes", [{"amount": "much"}, {"colour": "red"}, {"order_id": "8"}, [1]])
def test_input_that_would_be_wrong_is_refused(define, play, changes):
    play.says("pay", BUSY)
    definition = define(step("pay"), input=OrderInput, key="order:{order_id}")
    saga = run_saga(definition, {"order_id": "7"})
    assert refused(saga, "edit", input=changes)[0] == "invalid_argument"
    saga.refresh_from_db()
    assert saga.input == {"order_id": "7", "amount": "1.00"}


def test_a_saga_in_hand_is_not_edited(define, play):
    saga = start(define(step("pay"), input=OrderInput), {"order_id": "7"})
    Hand().take()
    assert refused(saga, "edit", input={"amount": "2.00"})[0] == "invalid_state"


def test_a_restart_is_a_saga_of_its_own_linked_to_the_old_one(define, play):
    definition = define(step("pay"), input=OrderInput, key="order:{order_id}")
    saga = run_saga(definition, {"order_id": "7"})
    entry = perform(saga.pk, "restart", by="alice", input={"amount": "3.00"})
    new = Saga.objects.get(restarted_from=saga)
    assert entry.data == {"saga": str(new.pk)}
    assert (new.key, new.input["amount"], new.started_by) == ("order:7", "3.00", "alice")
    assert refused(saga, "restart")[0] == "duplicate_key"
    run_due()
    assert Saga.objects.get(pk=new.pk).status == "completed"
    keys = set(Saga.objects.values_list("steps__idempotency_key", flat=True))
    assert len(keys) == 2


def test_nor_past_a_lock_that_its_definition_does_not_wait_for(define, play):
    definition = define(step("pay"), input=OrderInput, locks=["order:{order_id}"], on_locked=REFUSE)
    saga = run_saga(definition, {"order_id": "7"})
    play.says("pay", BUSY)
    run_saga(definition, {"order_id": "7"})
    assert refused(saga, "restart")[0] == "lock_held"
    assert Saga.objects.count() == 2


def test_an_abandoned_saga_gives_back_what_it_held_and_voids_what_its_worker_does(define, play):
    bank = Participant("bank", limit=1)
    definition = define(
        step("pay", participant=bank), input=OrderInput, locks=["order:{order_id}"], max_running=1
    )
    saga = start(definition, {"order_id": "7"})
    hand = Hand()
    attempts = hand.take()
    perform(saga.pk, "abandon", by=None)
    hand.settle(*hand.call(attempts))
    saga.refresh_from_db()
    assert (saga.status, saga.held_by, saga.due_at) == ("abandoned", None, None)
    assert [entry.kind for entry in history(saga, "evidence")] == ["evidence"]
    assert not SemanticLock.objects.exists()
    assert not Permit.objects.exists()


def test_a_completed_saga_is_undone_where_its_definition_says_so(define, play):
    definition = define(step("pay"), input=OrderInput, locks=["order:{order_id}"], undo_after_completion=True)
    saga = run_saga(definition, {"order_id": "7"})
    perform(saga.pk, "compensate", by=None)
    run_due()
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("compensated", ["pay", "undo pay"])
    assert not SemanticLock.objects.exists()


def test_not_while_another_has_its_key(define, play):
    definition = define(step("pay"), input=OrderInput, key="order:{order_id}", undo_after_completion=True)
    saga = run_saga(definition, {"order_id": "7"})
    start(definition, {"order_id": "7"})
    assert refused(saga, "compensate")[0] == "duplicate_key"
    saga.refresh_from_db()
    assert saga.status == "completed"


def test_not_while_another_has_its_locks(define, play):
    definition = define(step("pay"), input=OrderInput, locks=["order:{order_id}"], undo_after_completion=True)
    saga = run_saga(definition, {"order_id": "7"})
    play.says("pay", BUSY)
    run_saga(definition, {"order_id": "7"})
    assert refused(saga, "compensate")[0] == "lock_held"
    saga.refresh_from_db()
    assert saga.status == "completed"
