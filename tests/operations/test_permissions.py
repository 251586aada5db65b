"""Each operation has its permission, and who acts has to have seen what he acts on."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from sagas import start
from sagas.exceptions import OperationRefused
from sagas.models import HistoryKind, Saga
from sagas.operations.performing import availability, perform
from tests.operations import situations
from tests.operations.conftest import allow
from tests.samples import history, step

pytestmark = pytest.mark.django_db


def last(saga: Saga, kind: str = HistoryKind.ACT):
    return history(saga, kind)[-1]


@pytest.mark.parametrize(
    ("situation", "operation", "codename"),
    [
        ("exhausted", "retry", "retry_saga"),
        ("suspended", "resume", "resume_saga"),
        ("pending", "suspend", "resume_saga"),
        ("pending", "compensate", "compensate_saga"),
    ],
)
def test_each_operation_has_its_own(define, play, operator, situation, operation, codename):
    saga = getattr(situations, situation)(define, play)
    others = {"start_saga", "retry_saga", "resume_saga", "compensate_saga", "view_saga"} - {codename}
    user = allow(operator, *others)
    with pytest.raises(OperationRefused) as refusal:
        perform(saga.pk, operation, by=user)
    assert refusal.value.code == "permission_denied"
    assert str(refusal.value).endswith(f"operator lacks the permission sagas.{codename}.")
    refused = availability(saga.pk, by=user)[operation]
    assert refused is not None
    assert refused.code == "permission_denied"

    perform(saga.pk, operation, by=allow(operator, codename))


def test_a_refusal_for_lack_of_it_is_recorded(define, play, operator):
    saga = situations.pending(define, play)
    with pytest.raises(OperationRefused):
        perform(saga.pk, "suspend", by=operator)
    entry = last(saga, HistoryKind.REFUSAL)
    assert (entry.actor, entry.data) == ("operator", {"code": "permission_denied"})


def test_who_may_not_learns_nothing_of_the_sagas_state(define, play, operator):
    saga = situations.completed(define, play)
    for expected in (None, 999):
        with pytest.raises(OperationRefused) as refusal:
            perform(saga.pk, "retry", by=operator, expected_revision=expected)
        assert refusal.value.code == "permission_denied"


def test_one_who_left_may_nothing(define, play):
    saga = situations.pending(define, play)
    gone = User.objects.create(username="gone", is_superuser=True, is_active=False)
    with pytest.raises(OperationRefused, match="gone lacks the permission"):
        perform(saga.pk, "suspend", by=gone)


def test_a_backend_may_allow_it_for_one_saga(define, play):
    saga = situations.pending(define, play)

    class Owner:
        def get_username(self) -> str:
            return "owner"

        def has_perm(self, perm: str, obj: object = None) -> bool:
            return obj == saga

    perform(saga.pk, "suspend", by=Owner())
    other = start(define(step("book")), {})
    with pytest.raises(OperationRefused):
        perform(other.pk, "suspend", by=Owner())


def test_who_looked_at_the_present_state_is_heard(define, play):
    saga = situations.exhausted(define, play)
    perform(saga.pk, "retry", by=None, expected_revision=saga.revision)


def test_who_looked_at_an_earlier_one_is_refused(define, play):
    saga = situations.exhausted(define, play)
    perform(saga.pk, "retry", by=None, expected_revision=saga.revision)
    with pytest.raises(OperationRefused) as refusal:
        perform(saga.pk, "compensate", by=None, expected_revision=saga.revision)
    assert refusal.value.code == "stale_revision"
    assert str(refusal.value).endswith(
        f"it has changed since you looked (revision {saga.revision}, now {saga.revision + 1}). Look again."
    )


def test_leases_and_refusals_are_not_what_a_person_sees(define, play):
    saga = situations.in_hand(define, play)
    saga.refresh_from_db()
    before = saga.revision
    with pytest.raises(OperationRefused):
        perform(saga.pk, "retry", by=None)
    Saga.objects.filter(pk=saga.pk).update(due_at="2100-01-01T00:00Z")
    perform(saga.pk, "suspend", by=None, expected_revision=before)
