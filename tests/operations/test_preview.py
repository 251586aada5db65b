"""What is said of an operation before it is done."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagas import HALT, OutcomeUnknown, Parallel, RetryLater, SubSaga
from sagas.models import HistoryEntry, Saga, SagaFact, SagaStep
from sagas.operations.catalogue import OPERATIONS
from sagas.operations.performing import perform
from sagas.operations.previewing import preview
from sagas.testing import advance, run_due, run_saga
from tests.operations import situations
from tests.operations.test_table import TABLE
from tests.samples import HOUR, ONCE, step

pytestmark = pytest.mark.django_db


def everything():
    rows = [model.objects.order_by("pk").values() for model in (Saga, SagaStep, SagaFact, HistoryEntry)]
    return [list(each) for each in rows]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("situation", TABLE)
def test_a_preview_changes_nothing(define, play, situation, operation):
    saga = getattr(situations, situation)(define, play)
    before = everything()
    saga.refresh_from_db()
    assert preview(saga.pk, operation, by=None).revision == saga.revision
    assert everything() == before


def told(plan):
    return [("undo " if call.direction == "back" else "") + call.step for call in plan.calls]


@pytest.mark.parametrize(
    ("situation", "operation", "status", "calls"),
    [
        ("exhausted", "retry", "running", ["pay"]),
        ("exhausted", "compensate", "compensating", ["undo book"]),
        ("exhausted_in_doubt", "compensate", "compensating", ["undo pay", "undo book"]),
        ("suspended_on_the_way_back", "resume", "compensating", ["undo book"]),
        ("pending", "suspend", "suspended", []),
        ("failed_on_the_way_back", "abandon", "abandoned", []),
    ],
)
def test_it_says_what_will_run_and_that_runs(define, play, situation, operation, status, calls):
    saga = getattr(situations, situation)(define, play)
    plan = preview(saga.pk, operation, by=None)
    assert (plan.refusal, plan.status, told(plan)) == (None, status, calls)
    keys = {call.idempotency_key for call in plan.calls}
    assert keys <= set(saga.steps.values_list("idempotency_key", flat=True)) | set(
        saga.steps.values_list("undo_key", flat=True)
    )
    begun = len(play.calls)
    perform(saga.pk, operation, by=None)
    advance(HOUR)
    assert play.calls[begun:][: len(calls)] == calls


def test_what_would_be_refused_says_why(define, play):
    plan = preview(situations.failed_past_its_pivot(define, play).pk, "compensate", by=None)
    assert plan.refusal is not None
    assert (plan.refusal.code, plan.calls) == ("past_pivot", ())


def test_what_cannot_be_undone_is_named(define, play):
    saga = run_saga(
        define(
            step("mail", irrevocable="a mail cannot be unsent"),
            step("pay"),
            undo_after_completion=True,
        ),
        {},
    )
    plan = preview(saga.pk, "compensate", by=None)
    assert [(each.step, each.why) for each in plan.cannot_undo] == [("mail", "a mail cannot be unsent")]
    assert told(plan) == ["undo pay"]


def test_it_warns_of_doubt_and_of_nobody_at_work(define, play):
    plan = preview(situations.exhausted_in_doubt(define, play).pk, "retry", by=None)
    assert plan.warnings == (
        "It is not known whether step pay took effect.",
        "No worker is at work. What is asked waits for one.",
    )


def test_child_sagas_are_left_alone(define, play):
    child = define(step("pay"), name="samples.child", undo_after_completion=True)
    saga = run_saga(
        define(step("book"), SubSaga(child, input=lambda ctx: {}), undo_after_completion=True), {}
    )
    assert told(preview(saga.pk, "compensate", by=None)) == ["undo child", "undo book"]
    run_due()
    assert set(Saga.objects.values_list("status", flat=True)) == {"completed"}


def by_stage(calls: list[str], stage_of: dict[str, int]) -> list[list[str]]:
    """Calls in their order, those of one stage in any."""
    groups = groupby(calls, key=lambda call: (call.startswith("undo "), stage_of[call.removeprefix("undo ")]))
    return [sorted(group) for _stage, group in groups]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    widths=st.lists(st.integers(1, 3), min_size=1, max_size=5),
    failing=st.integers(0, 14),
    in_doubt=st.booleans(),
    operation=st.sampled_from(["retry", "compensate"]),
)
def test_whatever_is_previewed_is_what_runs(define, play, widths, failing, in_doubt, operation):
    stages = [[f"s{stage}{letter}" for letter in "abc"[:width]] for stage, width in enumerate(widths)]
    names = [name for stage in stages for name in stage]
    fails = names[failing % len(names)]
    stage_of = {name: number for number, stage in enumerate(stages) for name in stage}
    definition = define(
        *(Parallel(*(step(name, retry=ONCE) for name in stage)) for stage in stages), on_exhausted=HALT
    )
    play.says(fails, OutcomeUnknown("no answer") if in_doubt else RetryLater("busy"))
    saga = run_saga(definition, {})
    assert saga.status == "failed"

    plan = preview(saga.pk, operation, by=None)
    begun = len(play.calls)
    perform(saga.pk, operation, by=None)
    advance(HOUR)

    assert by_stage(told(plan), stage_of) == by_stage(play.calls[begun:], stage_of)
    saga.refresh_from_db()
    assert saga.status == ("completed" if operation == "retry" else "compensated")
    undone = {call.step for call in plan.calls if call.direction == "back"}
    assert set(plan.kept) == (
        {step.name for step in saga.steps.all()} - {call.step for call in plan.calls}
        if operation == "retry"
        else set()
    )
    assert not undone & set(plan.kept)
