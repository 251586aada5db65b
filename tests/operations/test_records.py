"""Every act, and every refusal of one, has one line in the history."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django_q.models import OrmQ

from sagas.exceptions import OperationRefused
from sagas.models import HistoryKind, Saga, Wake
from sagas.operations.performing import availability, perform
from tests.operations import situations
from tests.operations.conftest import allow
from tests.samples import history

pytestmark = pytest.mark.django_db


def last(saga: Saga, kind: str = HistoryKind.ACT):
    return history(saga, kind)[-1]


@pytest.mark.parametrize(
    ("situation", "operation", "from_status", "to_status"),
    [
        ("exhausted", "retry", "failed", "running"),
        ("failed_on_the_way_back", "retry", "failed", "compensating"),
        ("suspended", "resume", "suspended", "pending"),
        ("between_attempts", "suspend", "running", "suspended"),
        ("between_attempts", "compensate", "running", "compensating"),
        ("between_attempts", "retry", "", ""),
        ("in_hand", "compensate", "", ""),
        ("stuck", "resume", "", ""),
    ],
)
def test_an_act_is_one_line(define, play, operator, situation, operation, from_status, to_status):
    saga = getattr(situations, situation)(define, play)
    before = len(history(saga))
    user = allow(operator, f"{operation}_saga", "resume_saga")
    returned = perform(saga.pk, operation, by=user, reason="ticket 7")

    assert len(history(saga)) == before + 1
    entry = last(saga)
    assert entry == returned
    assert (entry.actor_kind, entry.actor) == ("user", "operator")
    assert (entry.operation, entry.reason) == (operation, "ticket 7")
    assert (entry.from_status, entry.to_status) == (from_status, to_status)


@pytest.mark.parametrize(
    ("by", "kind", "name"),
    [
        (None, "code", ""),
        ("nightly job", "code", "nightly job"),
        ("command:alice@host", "command", "command:alice@host"),
    ],
)
def test_it_tells_who_acted(define, play, by, kind, name):
    saga = situations.pending(define, play)
    entry = perform(saga.pk, "suspend", by=by)
    assert (entry.actor_kind, entry.actor) == (kind, name)


def test_a_refusal_is_recorded_too(define, play, operator):
    saga = situations.completed(define, play)
    user = allow(operator, "retry_saga")
    with pytest.raises(OperationRefused) as refusal:
        perform(saga.pk, "retry", by=user, reason="ticket 7")
    entry = last(saga, HistoryKind.REFUSAL)
    assert refusal.value.entry == entry
    assert (entry.actor, entry.operation, entry.reason) == ("operator", "retry", "ticket 7")
    assert entry.data == {"code": "invalid_state"}


def test_and_survives_the_error_that_tells_of_it(define, play, transactional_db):
    saga = situations.completed(define, play)
    with pytest.raises(OperationRefused):
        perform(saga.pk, "retry", by=None)
    assert len(history(saga, HistoryKind.REFUSAL)) == 1


@pytest.mark.parametrize("reason", ["a\x00b", "\ud800", "x" * 100_000], ids=["nul", "surrogate", "long"])
def test_whatever_the_reason_it_is_stored(define, play, reason):
    saga = situations.pending(define, play)
    perform(saga.pk, "suspend", by=None, reason=reason)
    assert last(saga).reason


def test_there_is_nothing_to_be_asked_of_a_saga_that_does_not_exist():
    with pytest.raises(Saga.DoesNotExist):
        perform(uuid4(), "retry", by=None)
    with pytest.raises(Saga.DoesNotExist):
        availability(uuid4(), by=None)


def test_whoever_acts_wakes_a_worker(define, play, transactional_db):
    saga = situations.exhausted(define, play)
    for table in (OrmQ, Wake):
        table.objects.all().delete()
    perform(saga.pk, "retry", by=None)
    assert OrmQ.objects.count() == 1
