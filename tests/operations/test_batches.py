"""Batches: one operation, asked of many sagas that were chosen once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction

from sagas import HALT, RetryLater, clock, start
from sagas.clock import database_now
from sagas.conf import saga_settings
from sagas.definitions import registry
from sagas.exceptions import BatchRefused, IdempotencyKeyReused, PermissionRefused
from sagas.figures import failure_groups
from sagas.models import HistoryEntry, HistoryKind, Saga, SagaBatch, SagaBatchItem
from sagas.operations import batches, chunks
from sagas.operations.drafting import CHANGED, draft, samples
from sagas.operations.performing import perform
from sagas.operations.selection import Selection
from sagas.testing import run_due, run_saga
from tests.engine.statements import statements
from tests.operations.conftest import allow
from tests.samples import HOUR, ONCE, step

pytestmark = pytest.mark.django_db

FAILED = Selection(filter={"status": "failed"})
FAST = 100_000


@pytest.fixture(autouse=True)
def asked(monkeypatch) -> list[tuple[int, int]]:
    """Whom workers were asked to go on with."""
    sent: list[tuple[int, int]] = []
    for module in (batches, chunks):
        monkeypatch.setattr(module, "wake_for_batch", lambda *batch: sent.append(batch))
    return sent


@pytest.fixture
def fail(define, play):
    """Makes sagas that failed."""

    def make(number: int = 1, name: str = "samples.trip", message: str = "closed") -> list[Saga]:
        definition = define(step("book"), step("pay", retry=ONCE, on_exhausted=HALT), name=name)
        play.says("pay", *[RetryLater(message)] * number)
        return [run_saga(definition, {}) for _ in range(number)]

    return make


def retry_all(selection: Selection = FAILED, **options) -> SagaBatch:
    """Draft a batch and start it."""
    by = options.pop("by", "command:sam@shop")
    return batches.start(draft("retry", selection, by=by, rate=FAST, **options).pk, by=by)


def work(batch: SagaBatch, *, chunks_at_most: int = 100) -> SagaBatch:
    """Do what workers do, and return what became of the batch."""
    for _ in range(chunks_at_most):
        batch = SagaBatch.objects.get(pk=batch.pk)
        if not chunks.run(batch.pk, batch.turn):
            break
    return SagaBatch.objects.get(pk=batch.pk)


def counters(batch: SagaBatch) -> tuple[int, int, int]:
    """Return requested, skipped and refused, which the items have to bear out."""
    states = Counter(batch.items.values_list("state", flat=True))
    assert (batch.requested, batch.skipped, batch.refused, batch.left) == (
        states["requested"],
        states["skipped"],
        states["refused"],
        states["pending"],
    )
    assert batch.total == states.total()
    return batch.requested, batch.skipped, batch.refused


def acts(saga: Saga, kind: str = HistoryKind.ACT) -> int:
    return HistoryEntry.objects.filter(saga=saga, kind=kind, operation="retry").count()


# Drafts


def test_a_draft_counts_what_was_found_and_asks_nothing(fail, define):
    failed = fail(3)
    waiting = start(define(step("book"), name="samples.other"), {})
    ids = [saga.pk for saga in (*failed, waiting)]
    batch = draft("retry", Selection(ids=(*ids, uuid4())), by=None, reason="the bank is open")

    assert (batch.status, batch.total, batch.left) == ("draft", 4, 3)
    assert counters(batch) == (0, 1, 0)
    assert batch.groups == [
        {
            "definition": "samples.trip",
            "step": "pay",
            "status": "failed",
            "skipped": False,
            "message": "",
            "number": 3,
        },
        {
            "definition": "samples.other",
            "step": "book",
            "status": "pending",
            "skipped": True,
            "message": "",
            "number": 1,
        },
    ]
    assert batch.definitions == {"samples.trip"}
    assert not HistoryEntry.objects.filter(kind__in=(HistoryKind.ACT, HistoryKind.REFUSAL)).exists()


def test_a_draft_shows_on_three_what_would_be_done(fail):
    failed = fail(5)
    batch = draft("retry", FAILED, by=None)

    shown = samples(batch, by=None)
    assert [pk for pk, _plan in shown] == sorted(saga.pk for saga in failed)[:3]
    for _pk, plan in shown:
        assert (plan.refusal, [call.step for call in plan.calls]) == (None, ["pay"])


def test_a_batch_can_be_for_a_group_of_failures(fail):
    fail(2, message="no answer for 17")
    [other] = fail(1, message="closed")
    large, _small = failure_groups()
    batch = retry_all(Selection(filter={"status": "failed", "error_fingerprint": large.fingerprint}))

    assert counters(work(batch)) == (2, 0, 0)
    assert acts(other) == 0


@pytest.mark.parametrize(
    ("selection", "code"),
    [
        ({}, "empty_filter"),
        ({"filter": {}}, "empty_filter"),
        ({"ids": (uuid4(),), "filter": {"status": "failed"}}, "ambiguous_selection"),
        ({"ids": (uuid4(),) * 10_001}, "too_many"),
    ],
)
def test_what_selects_everything_or_nothing_certain_is_refused(selection, code):
    with pytest.raises(BatchRefused) as refusal:
        Selection(**selection)
    assert refusal.value.code == code


def test_a_filter_that_is_none_is_a_mistake_of_the_code():
    with pytest.raises(ValueError, match="not selected by input__secret"):
        Selection(filter={"input__secret": 1})


@pytest.mark.parametrize(
    ("operation", "arguments", "code"),
    [("retry", {"step": "pay"}, "invalid_argument"), ("resolve", {}, "invalid_argument")],
)
def test_arguments_are_checked_before_anything_is_chosen(fail, operation, arguments, code):
    fail()
    with pytest.raises(BatchRefused) as refusal:
        draft(operation, FAILED, by=None, arguments=arguments)
    assert refusal.value.code == code
    assert not SagaBatch.objects.exists()


def test_a_batch_of_nothing_is_not_drafted(db):
    with pytest.raises(BatchRefused, match="no saga is like that"):
        draft("retry", FAILED, by=None)
    assert not SagaBatch.objects.exists()


def test_the_same_request_sent_twice_is_one_batch(fail):
    fail(2)
    first = draft("retry", FAILED, by="sam", key="abc")
    fail(1)

    assert draft("retry", FAILED, by="sam", key="abc") == first
    assert draft("retry", FAILED, by="eve", key="abc") != first
    with pytest.raises(IdempotencyKeyReused):
        draft("retry", FAILED, by="sam", key="abc", reason="another")
    assert [batch.total for batch in SagaBatch.objects.order_by("pk")] == [2, 3]


@pytest.mark.parametrize("number", [1, 30])
def test_a_draft_costs_the_same_however_many_are_found(fail, number):
    fail(number)
    with statements() as asked_of_it:
        draft("retry", FAILED, by=None)
    # The batch, its items, what they are, and what that comes to; SQLite is not asked for the time.
    assert len(asked_of_it) == (5 if connection.vendor == "postgresql" else 4), asked_of_it


# What was chosen stays chosen


def test_what_fails_after_the_draft_is_left_alone(fail):
    early = fail(2)
    batch = draft("retry", FAILED, by=None, rate=FAST)
    [late] = fail(1)
    batches.start(batch.pk, by=None)

    assert counters(work(batch)) == (2, 0, 0)
    assert [acts(saga) for saga in (*early, late)] == [1, 1, 0]


def test_what_failed_after_it_was_looked_at_is_not_swept_along(fail):
    fail(1)
    looked_at = database_now(Saga.objects.db)
    [late] = fail(1)

    assert draft("retry", FAILED, by=None, cutoff_at=looked_at).total == 1
    named = draft("retry", Selection(ids=(late.pk,)), by=None, cutoff_at=looked_at)
    assert counters(named) == (0, 1, 0)
    assert named.items.get().message == CHANGED


def test_a_cut_off_in_the_future_is_now(fail):
    fail(1)
    now = database_now(Saga.objects.db)
    assert draft("retry", FAILED, by=None, cutoff_at=now + HOUR).cutoff_at < now + HOUR


def test_a_saga_that_has_changed_since_is_skipped(fail, play):
    moved, failed_again, kept = fail(3)
    batch = retry_all()
    for saga in (moved, failed_again):
        perform(saga.pk, "retry", by=None)
    play.says("pay", *[RetryLater("closed")] * 2)
    perform(moved.pk, "compensate", by=None)
    run_due()
    failed_again.refresh_from_db()
    assert failed_again.status == "failed"

    done = work(batch)
    assert (done.status, counters(done)) == ("done", (1, 2, 0))
    messages = dict(done.items.values_list("saga_id", "message"))
    assert messages == {
        moved.pk: "It is compensated by now.",
        failed_again.pk: CHANGED,
        kept.pk: "",
    }


def test_a_saga_at_work_may_move_on_meanwhile(define):
    saga = start(define(step("a"), step("b", retry=ONCE)), {})
    batch = draft("suspend", Selection(filter={"definition": "samples.trip"}), by=None, rate=FAST)
    Saga.objects.filter(pk=saga.pk).update(revision=7)
    batches.start(batch.pk, by=None)

    assert counters(work(batch)) == (1, 0, 0)
    saga.refresh_from_db()
    assert saga.status == "suspended"


def test_a_saga_that_is_gone_is_skipped(fail):
    [saga] = fail(1)
    batch = retry_all()
    SagaBatchItem.objects.update(saga_id=uuid4())

    assert counters(work(batch)) == (0, 1, 0)
    assert saga.status == "failed"


# What comes of it


def test_a_refusal_in_the_middle_is_written_down_and_the_rest_goes_on(fail):
    first, last = fail(2)
    [unknown] = fail(1, name="samples.gone")
    batch = retry_all()
    registry.remove(registry.named("samples.gone"))
    try:
        done = work(batch)
    finally:
        fail(0, name="samples.gone")

    assert (done.status, counters(done)) == ("done", (2, 0, 1))
    refused = done.items.get(state="refused")
    assert refused.saga_id == unknown.pk
    assert "no installed app has the definition samples.gone" in refused.message
    assert [acts(first), acts(last), acts(unknown, HistoryKind.REFUSAL)] == [1, 1, 1]


def test_an_error_of_the_engine_costs_one_saga_and_not_the_batch(fail, monkeypatch):
    victim, _other = sorted(fail(2), key=lambda saga: saga.pk)

    def act(saga_id, *args, **options):
        if saga_id == victim.pk:
            raise RuntimeError("a bug")
        return perform(saga_id, *args, **options)

    monkeypatch.setattr(chunks, "perform", act)
    done = work(retry_all())
    assert (done.status, counters(done)) == ("done", (1, 0, 1))
    assert done.items.get(state="refused").message == "It could not be asked: RuntimeError."


def test_reason_and_actor_stand_in_the_history_of_each(fail):
    fail(2)
    work(retry_all(by="command:sam@shop", reason="the bank is open"))

    told = HistoryEntry.objects.filter(kind=HistoryKind.ACT).values_list("actor", "actor_kind", "reason")
    assert list(told) == [("command:sam@shop", "command", "the bank is open")] * 2


def test_who_was_healed_and_who_failed_again_is_told(fail, play):
    fail(3)
    play.says("pay", None, RetryLater("closed"))
    batch = work(retry_all())
    assert batches.outcome(batch) == batches.Outcome(healed=0, failed_again=0)
    run_due()

    assert batches.outcome(batch) == batches.Outcome(healed=2, failed_again=1)


def test_arguments_reach_every_saga(fail):
    failed = fail(2)
    batch = draft("skip", FAILED, by=None, arguments={"step": "pay"}, rate=FAST)
    batches.start(batch.pk, by=None)
    assert counters(work(batch)) == (2, 0, 0)
    assert {saga.steps.get(name="pay").status for saga in failed} == {"skipped"}


# Starting, suspending, stopping


def test_a_batch_that_is_started_twice_runs_once(fail, asked, django_capture_on_commit_callbacks):
    fail(1)
    batch = draft("retry", FAILED, by=None)
    with django_capture_on_commit_callbacks(execute=True):
        first = batches.start(batch.pk, by=None)
    with django_capture_on_commit_callbacks(execute=True):
        assert batches.start(batch.pk, by=None).turn == first.turn
    assert asked == [(batch.pk, first.turn)]


def test_one_batch_at_a_time_does_the_same_with_a_definition(fail):
    fail(1)
    fail(1, name="samples.other")
    trips = Selection(filter={"definition": "samples.trip"})
    first = retry_all(trips)
    with pytest.raises(BatchRefused) as refusal:
        retry_all()
    assert refusal.value.code == "batch_running"
    assert f"batch {first.pk} does the same with samples.trip" in str(refusal.value)

    retry_all(Selection(filter={"definition": "samples.other"}))
    batches.start(draft("compensate", trips, by=None).pk, by=None)
    batches.stop(first.pk, by=None)
    assert retry_all(trips).status == "running"


def test_a_suspended_batch_waits_and_goes_on_where_it_was_left(fail, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 2)
    failed = fail(5)
    batch = retry_all()
    assert work(batch, chunks_at_most=1).requested == 2

    old_turn = batches.suspend(batch.pk, by="eve").turn
    assert chunks.run(batch.pk, old_turn) == 0
    batches.start(batch.pk, by="eve")
    assert chunks.run(batch.pk, old_turn) == 0, "a message of before it was suspended"
    done = work(batch)
    assert (done.status, counters(done)) == ("done", (5, 0, 0))
    assert [acts(saga) for saga in failed] == [1] * 5
    assert [(entry["act"], entry["by"]) for entry in done.log] == [
        ("start", "command:sam@shop"),
        ("suspend", "eve"),
        ("start", "eve"),
    ]
    assert HistoryEntry.objects.filter(kind=HistoryKind.ACT, actor="eve").count() == 3


def test_a_worker_leaves_a_batch_that_is_suspended_under_its_hands(fail, monkeypatch):
    fail(3)
    batch = retry_all()

    def pause(seconds):
        if batch.items.filter(state="requested").exists():
            batches.suspend(batch.pk, by="eve")

    monkeypatch.setattr(chunks, "sleep", pause)
    left = work(batch)
    assert (left.status, counters(left)) == ("suspended", (1, 0, 0))


def test_what_a_stopped_batch_leaves_is_skipped(fail, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 2)
    failed = fail(5)
    batch = retry_all()
    work(batch, chunks_at_most=1)
    stopped = batches.stop(batch.pk, by=None)

    assert (stopped.status, counters(stopped)) == ("cancelled", (2, 3, 0))
    assert chunks.run(batch.pk, stopped.turn) == 0
    assert sum(acts(saga) for saga in failed) == 2
    assert batches.stop(batch.pk, by=None).status == "cancelled"


@pytest.mark.parametrize("act", [batches.start, batches.suspend])
def test_what_has_ended_is_not_started_again(fail, act):
    fail(1)
    done = work(retry_all())
    with pytest.raises(BatchRefused, match="it is done") as refusal:
        act(done.pk, by=None)
    assert refusal.value.code == "invalid_state"


def test_a_batch_in_which_nothing_is_left_is_done_at_once(fail, define):
    saga = start(define(step("a"), name="samples.other"), {})
    assert retry_all(Selection(ids=(saga.pk,))).status == "done"


# Permissions


def test_drafting_and_starting_take_the_operations_permission(fail, operator):
    fail(1)
    with pytest.raises(PermissionRefused, match="operator lacks the permission"):
        draft("retry", FAILED, by=operator)
    batch = draft("retry", FAILED, by=allow(operator, "retry_saga"))
    operator.user_permissions.clear()
    for act in (batches.start, batches.suspend, batches.stop):
        with pytest.raises(PermissionRefused):
            act(batch.pk, by=type(operator).objects.get())
    assert SagaBatch.objects.get().status == "draft"


def test_a_permission_that_is_taken_away_counts_from_the_next_chunk_on(fail, operator, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 2)
    fail(3)
    batch = retry_all(by=allow(operator, "retry_saga"))
    work(batch, chunks_at_most=1)
    operator.user_permissions.clear()

    done = work(batch)
    assert counters(done) == (2, 0, 1)
    assert "operator lacks the permission sagas.retry_saga." in done.items.get(state="refused").message


def test_one_who_is_gone_may_nothing(fail, operator):
    fail(1)
    batch = retry_all(by=allow(operator, "retry_saga"))
    operator.delete()

    assert counters(work(batch)) == (0, 0, 1)


def test_a_user_that_no_worker_could_find_again_drafts_nothing(fail):
    fail(1)

    class Passer:
        def get_username(self) -> str:
            return "passer"

        def has_perm(self, perm: str, obj: object = None) -> bool:
            return True

    with pytest.raises(ValueError, match="passer is no user"):
        draft("retry", FAILED, by=Passer())


# Workers that die, messages that come late


def test_what_a_dying_worker_had_in_hand_is_asked_once(fail, asked, monkeypatch):
    failed = fail(3)
    batch = retry_all()
    calls = 0

    def die(*args, **options):
        nonlocal calls
        calls += 1
        entry = perform(*args, **options)
        if calls == 2:
            raise SystemExit
        return entry

    monkeypatch.setattr(chunks, "perform", die)
    with pytest.raises(SystemExit), transaction.atomic():
        # As a kill would, this undoes what was not committed: here all of it.
        chunks.run(batch.pk, batch.turn)
    assert counters(SagaBatch.objects.get()) == (0, 0, 0)

    done = work(batch)
    assert (done.status, counters(done)) == ("done", (3, 0, 0))
    assert [acts(saga) for saga in failed] == [1, 1, 1]


def test_a_message_of_an_earlier_turn_means_nothing(fail, asked, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 1)
    fail(3)
    batch = retry_all()

    assert chunks.run(batch.pk, batch.turn) == 1
    assert chunks.run(batch.pk, batch.turn) == 0
    assert asked == [(batch.pk, batch.turn + 1)]
    assert SagaBatch.objects.get().requested == 1


def test_a_worker_that_was_overtaken_leaves_the_rest(fail, monkeypatch):
    failed = fail(3)
    batch = retry_all()

    def act(*args, **options):
        if SagaBatch.objects.get().turn == batch.turn + 1:
            SagaBatch.objects.update(turn=batch.turn + 2)  # Somebody took it to be dead.
        return perform(*args, **options)

    monkeypatch.setattr(chunks, "perform", act)
    assert chunks.run(batch.pk, batch.turn) == 1
    assert counters(work(batch)) == (3, 0, 0)
    assert [acts(saga) for saga in failed] == [1, 1, 1]


def test_a_batch_that_nobody_is_at_is_found(fail, asked):
    fail(1)
    batch = retry_all()
    chunks.recover()
    assert asked == []
    clock.shift(saga_settings().lease + timedelta(seconds=1))
    chunks.recover()
    assert asked == [(batch.pk, batch.turn)]

    work(batch)
    asked.clear()
    clock.shift(HOUR)
    chunks.recover()
    assert asked == []


def test_sagas_are_asked_no_faster_than_the_rate_allows(fail, monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(chunks, "sleep", slept.append)
    monkeypatch.setattr(chunks, "monotonic", lambda: 100.0)
    fail(4)
    batch = draft("retry", FAILED, by=None, rate=2)
    batches.start(batch.pk, by=None)
    work(batch)
    assert slept == [0.0, 0.5, 1.0, 1.5]


def test_a_chunk_of_a_slow_batch_ends_in_time(fail, monkeypatch):
    monkeypatch.setattr(chunks, "sleep", lambda seconds: None)
    fail(12)
    batch = draft("retry", FAILED, by=None, rate=1)
    batches.start(batch.pk, by=None)
    assert work(batch, chunks_at_most=1).requested == 11


def test_one_saga_costs_the_same_in_a_large_batch(fail):
    fail(1)
    small = retry_all()
    with statements() as of_one:
        work(small)
    fail(20)
    large = retry_all()
    with statements() as of_twenty:
        work(large)
    per_chunk = [sql for sql in of_one if "turn" not in sql]
    assert len(of_twenty) - len(of_one) <= 19 * len(per_chunk)
    assert len(of_one) <= 22, of_one
