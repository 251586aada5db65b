import pytest
from datetime import timedelta
from sagas import *
from sagas.definitions import registry
from sagas import Parallel, start, OutcomeUnknown, PermanentFailure, RetryLater
from sagas.engine.calls import call_here, returned
from sagas.models import *
from sagas.operations.performing import perform
from sagas.testing import advance, run_due, run_saga
from sagas import clock
from tests.samples import *
from tests.engine.hands import Hand

pytestmark = pytest.mark.django_db

def test_resend_over_by_delay(define, play):
    slow = RetryPolicy(attempts=10, first_delay=HOUR*2, max_delay=HOUR*2, jitter=0)
    D = define(step("pay", participant=BANK, retry=slow))
    play.says("pay", OutcomeUnknown("?"))
    s = run_saga(D, {})
    advance(HOUR*3); s.refresh_from_db()
    assert (play.calls, s.status, s.attention) == (["pay"], "failed", "unknown_outcome")

def test_resend_over_by_suspension(define, play):
    D = define(step("pay", participant=BANK, retry=STEADY))
    play.says("pay", OutcomeUnknown("?"))
    s = run_saga(D, {})
    perform(s.pk, "suspend", by=None)
    advance(HOUR*3)
    perform(s.pk, "resume", by=None)
    run_due(); s.refresh_from_db()
    assert (play.calls, s.status, s.attention) == (["pay"], "failed", "unknown_outcome")

def test_retry_suspended(define, play):
    D = define(step("pay", retry=STEADY))
    play.says("pay", RetryLater("?"))
    s = run_saga(D, {})
    perform(s.pk, "suspend", by=None)
    try: perform(s.pk, "retry", by=None)
    except OperationRefused: pass
    run_due(); s.refresh_from_db()
    assert (play.calls, s.status) == (["pay"], "suspended")

def test_two_helds(define, play):
    D = define(step("pay", retry=STEADY))
    s = start(D, {})
    h = Hand()
    [one] = h.take()
    from sagas.engine.calls import raised
    h.settle(raised(one, OutcomeUnknown("late"), sent=0.0, ended=False))
    clock.shift(MINUTE)
    [two] = h.take()
    done1, done2 = h.call([one, two])
    r = h.settle(done1)
    assert r.let_go == set()
    r = h.settle(done1, done2)
    s.refresh_from_db()
    assert s.status == "completed"

def test_drift_in_flight(define, play):
    D = define(step("a"), step("b"))
    s = start(D, {})
    h = Hand()
    [one] = h.take()
    [two] = h.settle(*h.call([one])).attempts
    define(step("a"), version=2)
    clock.shift(MINUTE)
    Hand().take()
    s.refresh_from_db()
    assert (s.status, s.attention) == ("failed", "definition_drift")

def test_drift_compensate(define, play):
    D = define(step("a"), step("b", retry=STEADY))
    play.says("b", RetryLater("x"))
    s = run_saga(D, {})
    define(step("a"), version=2)
    perform(s.pk, "compensate", by=None)
    run_due()
    s.refresh_from_db()
    assert (s.status, s.attention) == ("failed", "definition_drift")

def test_start_race(define, play, monkeypatch):
    D = define(step("a"), key="k", )
    first = start(D, {})
    from sagas.operations import starting
    store = starting.store
    def f(*a):
        r = store(*a)
        run_due()
        return r
    monkeypatch.setattr(starting, "store", f)
    assert start(D, {}).pk != first.pk

def test_stale_suspend(define, play):
    D = define(step("a", pivot=True))
    s = start(D, {})
    h = Hand(); [one] = h.take()
    perform(s.pk, "suspend", by=None)
    play.says("a", PermanentFailure("x"))
    h.settle(*h.call([one]))
    s.refresh_from_db()
    assert (s.status, s.direction) == ("suspended", "forward")

def test_undo_resend(define, play):
    slow = RetryPolicy(attempts=10, first_delay=HOUR*2, max_delay=HOUR*2, jitter=0)
    D = define(step("pay", participant=BANK, undo_retry=slow), step("b"))
    play.says("undo pay", OutcomeUnknown("?"))
    play.says("b", PermanentFailure("?"))
    s = run_saga(D, {})
    advance(HOUR*3); s.refresh_from_db()
    assert (play.calls, s.status) == (["pay", "b", "undo pay"], "failed")

def test_offender_with_sibling(define, play):
    pass
