"""What was asked for comes to pass, and every act has one line in the history."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django_q.models import OrmQ

from sagas import HALT, RetryPolicy, clock, start
from sagas.definitions import registry
from sagas.exceptions import OperationRefused
from sagas.models import HistoryKind, Saga, Wake
from sagas.operations.performing import availability, perform
from sagas.testing import advance, run_due, run_saga
from tests.operations import situations
from tests.operations.situations import BUSY, LOST, NO
from tests.samples import BANK, HOUR, MINUTE, ONCE, STEADY, history, statuses, step

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator():
    """Someone who may do nothing yet."""
    return User.objects.create(username="operator")


def allow(user: User, *codenames: str) -> User:
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    return User.objects.get(pk=user.pk)


def last(saga: Saga, kind: str = HistoryKind.ACT):
    return history(saga, kind)[-1]


class TestRecords:
    @pytest.mark.parametrize(
        ("situation", "operation", "from_status", "to_status"),
        [
            ("exhausted", "retry", "failed", "running"),
            ("failed_on_the_way_back", "retry", "failed", "compensating"),
            ("suspended", "resume", "suspended", "running"),
            ("between_attempts", "suspend", "running", "suspended"),
            ("between_attempts", "compensate", "running", "compensating"),
            ("between_attempts", "retry", "", ""),
            ("in_hand", "compensate", "", ""),
            ("stuck", "resume", "", ""),
        ],
    )
    def test_an_act_is_one_line(self, define, play, operator, situation, operation, from_status, to_status):
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
    def test_it_tells_who_acted(self, define, play, by, kind, name):
        saga = situations.pending(define, play)
        entry = perform(saga.pk, "suspend", by=by)
        assert (entry.actor_kind, entry.actor) == (kind, name)

    def test_a_refusal_is_recorded_too(self, define, play, operator):
        saga = situations.completed(define, play)
        user = allow(operator, "retry_saga")
        with pytest.raises(OperationRefused) as refusal:
            perform(saga.pk, "retry", by=user, reason="ticket 7")
        entry = last(saga, HistoryKind.REFUSAL)
        assert refusal.value.entry == entry
        assert (entry.actor, entry.operation, entry.reason) == ("operator", "retry", "ticket 7")
        assert entry.data == {"code": "invalid_state"}

    def test_and_survives_the_error_that_tells_of_it(self, define, play, transactional_db):
        saga = situations.completed(define, play)
        with pytest.raises(OperationRefused):
            perform(saga.pk, "retry", by=None)
        assert len(history(saga, HistoryKind.REFUSAL)) == 1

    @pytest.mark.parametrize("reason", ["a\x00b", "\ud800", "x" * 100_000], ids=["nul", "surrogate", "long"])
    def test_whatever_the_reason_it_is_stored(self, define, play, reason):
        saga = situations.pending(define, play)
        perform(saga.pk, "suspend", by=None, reason=reason)
        assert last(saga).reason

    def test_there_is_nothing_to_be_asked_of_a_saga_that_does_not_exist(self):
        with pytest.raises(Saga.DoesNotExist):
            perform(uuid4(), "retry", by=None)
        with pytest.raises(Saga.DoesNotExist):
            availability(uuid4(), by=None)

    def test_whoever_acts_wakes_a_worker(self, define, play, transactional_db):
        saga = situations.exhausted(define, play)
        for table in (OrmQ, Wake):
            table.objects.all().delete()
        perform(saga.pk, "retry", by=None)
        assert OrmQ.objects.count() == 1


class TestPermissions:
    @pytest.mark.parametrize(
        ("situation", "operation", "codename"),
        [
            ("exhausted", "retry", "retry_saga"),
            ("suspended", "resume", "resume_saga"),
            ("pending", "suspend", "resume_saga"),
            ("pending", "compensate", "compensate_saga"),
        ],
    )
    def test_each_operation_has_its_own(self, define, play, operator, situation, operation, codename):
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

    def test_a_refusal_for_lack_of_it_is_recorded(self, define, play, operator):
        saga = situations.pending(define, play)
        with pytest.raises(OperationRefused):
            perform(saga.pk, "suspend", by=operator)
        entry = last(saga, HistoryKind.REFUSAL)
        assert (entry.actor, entry.data) == ("operator", {"code": "permission_denied"})

    def test_who_may_not_learns_nothing_of_the_sagas_state(self, define, play, operator):
        saga = situations.completed(define, play)
        for expected in (None, 999):
            with pytest.raises(OperationRefused) as refusal:
                perform(saga.pk, "retry", by=operator, expected_revision=expected)
            assert refusal.value.code == "permission_denied"

    def test_one_who_left_may_nothing(self, define, play):
        saga = situations.pending(define, play)
        gone = User.objects.create(username="gone", is_superuser=True, is_active=False)
        with pytest.raises(OperationRefused, match="gone lacks the permission"):
            perform(saga.pk, "suspend", by=gone)

    def test_a_backend_may_allow_it_for_one_saga(self, define, play):
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


class TestRevisions:
    def test_who_looked_at_the_present_state_is_heard(self, define, play):
        saga = situations.exhausted(define, play)
        perform(saga.pk, "retry", by=None, expected_revision=saga.revision)

    def test_who_looked_at_an_earlier_one_is_refused(self, define, play):
        saga = situations.exhausted(define, play)
        perform(saga.pk, "retry", by=None, expected_revision=saga.revision)
        with pytest.raises(OperationRefused) as refusal:
            perform(saga.pk, "compensate", by=None, expected_revision=saga.revision)
        assert refusal.value.code == "stale_revision"
        assert str(refusal.value).endswith(
            f"it has changed since you looked (revision {saga.revision}, now {saga.revision + 1}). "
            "Look again."
        )

    def test_leases_and_refusals_are_not_what_a_person_sees(self, define, play):
        saga = situations.in_hand(define, play)
        saga.refresh_from_db()
        before = saga.revision
        with pytest.raises(OperationRefused):
            perform(saga.pk, "retry", by=None)
        Saga.objects.filter(pk=saga.pk).update(due_at="2100-01-01T00:00Z")
        perform(saga.pk, "suspend", by=None, expected_revision=before)


class TestRetry:
    def test_a_failed_saga_goes_on(self, define, play):
        saga = situations.exhausted(define, play)
        perform(saga.pk, "retry", by=None)
        run_due()
        saga.refresh_from_db()
        assert (saga.status, saga.attention, saga.error) == ("completed", "", "")
        assert play.calls == ["book", "pay", "pay"]

    def test_under_the_same_key(self, define, play):
        saga = situations.exhausted(define, play)
        perform(saga.pk, "retry", by=None)
        run_due()
        first, second = play.contexts["pay"]
        assert (first.idempotency_key, second.attempt) == (second.idempotency_key, 2)

    def test_it_grants_another_round_of_attempts(self, define, play):
        twice = RetryPolicy(attempts=2, jitter=0)
        play.always("pay", BUSY)
        saga = run_saga(define(step("pay", retry=twice), on_exhausted=HALT), {})
        advance(MINUTE)
        for attempts in (2, 4, 6):
            saga.refresh_from_db()
            assert (saga.status, saga.attention) == ("failed", "step_exhausted")
            assert play.calls == ["pay"] * attempts
            perform(saga.pk, "retry", by=None)
            run_due()
            advance(MINUTE)

    def test_past_the_pivot_too(self, define, play):
        saga = situations.failed_past_its_pivot(define, play)
        perform(saga.pk, "retry", by=None)
        run_due()
        saga.refresh_from_db()
        assert saga.status == "completed"

    def test_an_attempt_that_is_due_later_is_made_now(self, define, play):
        saga = situations.between_attempts(define, play)
        perform(saga.pk, "retry", by=None)
        run_due()
        assert play.calls.count("pay") == 2
        saga.refresh_from_db()
        assert saga.status == "completed"

    def test_so_is_one_of_a_compensation(self, define, play):
        saga = situations.on_the_way_back(define, play)
        perform(saga.pk, "retry", by=None)
        run_due()
        saga.refresh_from_db()
        assert (saga.status, play.calls.count("undo book")) == ("compensated", 2)

    def test_a_compensation_that_failed_is_tried_again(self, define, play):
        saga = situations.failed_on_the_way_back(define, play)
        perform(saga.pk, "retry", by=None)
        run_due()
        saga.refresh_from_db()
        assert (saga.status, saga.attention) == ("compensated", "")
        first, second = play.contexts["undo book"]
        assert (second.attempt, second.idempotency_key) == (2, first.idempotency_key)

    def test_what_failed_on_the_way_there_is_not_tried_again_on_the_way_back(self, define, play):
        saga = situations.failed_on_the_way_back(define, play)
        perform(saga.pk, "retry", by=None)
        run_due()
        assert play.calls == ["book", "pay", "undo book", "undo book"]
        assert statuses(saga)["pay"] == "failed"

    def test_a_key_that_may_be_forgotten_is_not_sent_again(self, define, play):
        play.says("pay", LOST)
        saga = run_saga(define(step("pay", participant=BANK, retry=ONCE, pivot=True)), {})
        assert saga.attention == "unknown_outcome"
        clock.shift(HOUR)
        with pytest.raises(OperationRefused) as refusal:
            perform(saga.pk, "retry", by=None)
        assert refusal.value.code == "key_expired"
        assert str(refusal.value) == (
            f"Retry was refused for {saga}: step pay may have taken effect, and bank may no longer know its "
            "idempotency key, so that sending it again could double the effect. Find out what happened first."
        )

    def test_nor_that_of_a_compensation(self, define, play):
        play.says("undo pay", NO)
        play.says("send", NO)
        saga = run_saga(define(step("pay", participant=BANK), step("send")), {})
        clock.shift(HOUR)
        with pytest.raises(OperationRefused) as refusal:
            perform(saga.pk, "retry", by=None)
        assert refusal.value.code == "key_expired"

    def test_within_its_time_it_is(self, define, play):
        play.says("pay", LOST)
        saga = run_saga(define(step("pay", participant=BANK, retry=ONCE, pivot=True)), {})
        clock.shift(HOUR - MINUTE)
        perform(saga.pk, "retry", by=None)
        run_due()
        saga.refresh_from_db()
        assert saga.status == "completed"

    def test_a_refused_action_may_be_sent_again_at_any_time(self, define, play):
        play.says("tell", NO)
        definition = define(step("send", pivot=True), step("tell", undo=False, participant=BANK))
        saga = run_saga(definition, {})
        clock.shift(100 * HOUR)
        perform(saga.pk, "retry", by=None)
        run_due()
        saga.refresh_from_db()
        assert saga.status == "completed"


class TestSuspendAndResume:
    def test_a_suspended_saga_rests_until_it_is_resumed(self, define, play):
        saga = situations.suspended_between_attempts(define, play)
        advance(HOUR)
        saga.refresh_from_db()
        assert (saga.status, play.calls) == ("suspended", ["book", "pay"])
        assert (saga.due_at, saga.held_by) == (None, None)

        perform(saga.pk, "resume", by=None)
        run_due()
        saga.refresh_from_db()
        assert saga.status == "completed"

    def test_also_on_the_way_back(self, define, play):
        saga = situations.suspended_on_the_way_back(define, play)
        advance(HOUR)
        assert play.calls.count("undo book") == 1
        perform(saga.pk, "resume", by=None)
        run_due()
        saga.refresh_from_db()
        assert saga.status == "compensated"

    def test_resuming_does_not_hurry_what_waits(self, define, play):
        saga = situations.suspended_between_attempts(define, play)
        perform(saga.pk, "resume", by=None)
        run_due()
        assert play.calls.count("pay") == 1
        advance(MINUTE)
        assert play.calls.count("pay") == 2

    def test_a_suspended_saga_can_be_turned_back(self, define, play):
        saga = situations.suspended_between_attempts(define, play)
        perform(saga.pk, "compensate", by=None)
        run_due()
        saga.refresh_from_db()
        assert (saga.status, play.calls) == ("compensated", ["book", "pay", "undo book"])


class TestCompensate:
    def test_what_was_done_is_undone(self, define, play):
        saga = situations.between_attempts(define, play)
        perform(saga.pk, "compensate", by=None)
        run_due()
        saga.refresh_from_db()
        assert (saga.status, play.calls) == ("compensated", ["book", "pay", "undo book"])
        assert statuses(saga)["pay"] == "failed"

    def test_of_a_saga_that_never_began_there_is_nothing_to_undo(self, define, play):
        saga = situations.pending(define, play)
        perform(saga.pk, "compensate", by=None)
        run_due()
        saga.refresh_from_db()
        assert (saga.status, play.calls) == ("compensated", [])

    @pytest.mark.parametrize("situation", ["exhausted", "exhausted_in_doubt"])
    def test_a_halted_saga_can_be_turned_back(self, define, play, situation):
        saga = getattr(situations, situation)(define, play)
        perform(saga.pk, "compensate", by=None)
        run_due()
        saga.refresh_from_db()
        assert (saga.status, saga.attention) == ("compensated", "")
        assert ("undo pay" in play.calls) is (situation == "exhausted_in_doubt")

    def test_what_waits_and_may_have_happened_is_undone(self, define, play):
        play.says("pay", LOST)
        saga = run_saga(define(step("book"), step("pay", retry=STEADY)), {})
        perform(saga.pk, "compensate", by=None)
        run_due()
        assert play.calls == ["book", "pay", "undo pay", "undo book"]

    def test_what_was_to_be_tried_again_and_may_have_happened_is_undone(self, define, play):
        saga = situations.exhausted_in_doubt(define, play)
        perform(saga.pk, "retry", by=None)
        perform(saga.pk, "compensate", by=None)
        run_due()
        saga.refresh_from_db()
        assert play.calls == ["book", "pay", "undo pay", "undo book"]
        assert statuses(saga) == {"book": "compensated", "pay": "compensated"}

    @pytest.mark.parametrize("operation", ["retry", "compensate"])
    def test_without_its_code_a_saga_can_do_neither(self, define, play, operation):
        saga = situations.exhausted(define, play)
        definition = registry[saga.definition]
        registry.remove(definition)
        try:
            with pytest.raises(OperationRefused) as refusal:
                perform(saga.pk, operation, by=None)
        finally:
            registry.add(definition)
        assert refusal.value.code == "unknown_definition"

    @pytest.mark.parametrize("operation", ["retry", "compensate"])
    def test_nor_without_a_part_of_it(self, define, play, operation):
        saga = situations.between_attempts(define, play)
        define(step("book"), version=2)
        with pytest.raises(OperationRefused) as refusal:
            perform(saga.pk, operation, by=None)
        assert refusal.value.code == "definition_drift"
