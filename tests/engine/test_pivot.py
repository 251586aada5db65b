"""At the pivot it is decided: before it a saga can turn back, after it it can only go on."""

from __future__ import annotations

import pytest

from sagas import OutcomeUnknown, PermanentFailure, RetryLater
from sagas.testing import run_saga
from tests.samples import ONCE, statuses, step

pytestmark = pytest.mark.django_db

NO = PermanentFailure("no")
LOST = OutcomeUnknown("no answer")


def test_a_pivot_that_refuses_turns_back(define, play):
    definition = define(step("a"), step("send", pivot=True), step("tell", undo=False))
    play.says("send", NO)
    saga = run_saga(definition, {})
    assert play.calls == ["a", "send", "undo a"]
    assert saga.status == "compensated"


def test_a_pivot_that_may_have_happened_waits_for_a_person(define, play):
    definition = define(step("a"), step("send", pivot=True, retry=ONCE))
    play.says("send", LOST)
    saga = run_saga(definition, {})
    assert (saga.status, saga.attention, saga.direction) == ("failed", "unknown_outcome", "forward")
    assert statuses(saga) == {"a": "completed", "send": "unknown"}
    assert play.calls == ["a", "send"]


@pytest.mark.parametrize(
    ("answer", "stands"), [(NO, "failed"), (RetryLater("closed"), "failed"), (LOST, "unknown")]
)
def test_past_the_pivot_there_is_no_way_back(define, play, answer, stands):
    definition = define(step("a"), step("send", pivot=True), step("tell", undo=False, retry=ONCE))
    play.says("tell", answer)
    saga = run_saga(definition, {})
    assert (saga.status, saga.attention, saga.direction) == ("failed", "past_pivot", "forward")
    assert statuses(saga) == {"a": "completed", "send": "completed", "tell": stands}
    assert play.calls == ["a", "send", "tell"]
