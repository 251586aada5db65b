"""What can be asked of a saga in each situation, and what comes of it at once."""

from __future__ import annotations

import pytest

from sagas.exceptions import OperationRefused
from sagas.models import HistoryKind, SagaFact
from sagas.operations.performing import availability, perform
from tests.operations import situations
from tests.samples import history

pytestmark = pytest.mark.django_db

STATE = "invalid_state"
PIVOT = "past_pivot"
DECIDES = "pivot"
REFUSED = (STATE, PIVOT, DECIDES)
ASKED = "asked"
WAITS, RUNS, BACK, STOPS = "pending", "running", "compensating", "suspended"
DONE, UNDONE, GONE = "completed", "compensated", "abandoned"

OPERATIONS = ("retry", "resume", "suspend", "compensate", "skip", "restart", "abandon")

# A status: it is done, and the saga stands so. ASKED: it is left for the worker. Else the refusal's code.
TABLE = {
    #                              retry     resume    suspend   compensate skip    restart   abandon
    "pending":                    (STATE,    STATE,    STOPS,    BACK,     STATE,    STATE,    GONE),
    "stuck":                      (STATE,    WAITS,    STOPS,    BACK,     STATE,    STATE,    GONE),
    "in_hand":                    (STATE,    STATE,    ASKED,    ASKED,    STATE,    STATE,    GONE),
    "left_by_its_worker":         (STATE,    RUNS,     ASKED,    ASKED,    STATE,    STATE,    GONE),
    "between_attempts":           (RUNS,     STATE,    STOPS,    BACK,     RUNS,     STATE,    GONE),
    "past_its_pivot":             (RUNS,     STATE,    STOPS,    PIVOT,    RUNS,     STATE,    GONE),
    "perhaps_past_its_pivot":     (RUNS,     STATE,    STOPS,    PIVOT,    DECIDES,  STATE,    GONE),
    "on_the_way_back":            (BACK,     STATE,    STOPS,    STATE,    STATE,    STATE,    GONE),
    "in_hand_on_the_way_back":    (STATE,    STATE,    ASKED,    STATE,    STATE,    STATE,    GONE),
    "suspended":                  (STATE,    WAITS,    STATE,    BACK,     STATE,    STATE,    GONE),
    "suspended_between_attempts": (STATE,    RUNS,     STATE,    BACK,     RUNS,     STATE,    GONE),
    "suspended_on_the_way_back":  (STATE,    BACK,     STATE,    STATE,    STATE,    STATE,    GONE),
    "exhausted":                  (RUNS,     STATE,    STATE,    BACK,     RUNS,     STATE,    GONE),
    "exhausted_in_doubt":         (RUNS,     STATE,    STATE,    BACK,     RUNS,     STATE,    GONE),
    "failed_past_its_pivot":      (RUNS,     STATE,    STATE,    PIVOT,    RUNS,     STATE,    GONE),
    "failed_at_its_pivot":        (RUNS,     STATE,    STATE,    PIVOT,    DECIDES,  STATE,    GONE),
    "failed_on_the_way_back":     (BACK,     STATE,    STATE,    STATE,    STATE,    STATE,    GONE),
    "completed":                  (STATE,    STATE,    STATE,    STATE,    STATE,    DONE,     STATE),
    "compensated":                (STATE,    STATE,    STATE,    STATE,    STATE,    UNDONE,   STATE),
    "abandoned":                  (STATE,    STATE,    STATE,    STATE,    STATE,    GONE,     STATE),
}  # fmt: skip

ROWS = [
    (situation, operation, wanted)
    for situation, outcomes in TABLE.items()
    for operation, wanted in zip(OPERATIONS, outcomes, strict=True)
]


@pytest.mark.parametrize(("situation", "operation", "wanted"), ROWS)
def test_what_is_asked_is_done_left_or_refused(define, play, situation, operation, wanted):
    saga = getattr(situations, situation)(define, play)
    saga.refresh_from_db()
    before, told = saga.revision, len(history(saga))
    possible = availability(saga.pk, by=None)[operation]
    if wanted in REFUSED:
        with pytest.raises(OperationRefused) as refusal:
            perform(saga.pk, operation, by=None)
        assert refusal.value.code == wanted
        assert possible is not None
        assert possible.code == wanted
        assert refusal.value.entry.kind == HistoryKind.REFUSAL
    else:
        status = saga.status
        entry = perform(saga.pk, operation, by=None)
        assert possible is None
        assert (entry.kind, entry.operation) == (HistoryKind.ACT, operation)
        saga.refresh_from_db()
        assert saga.status == (status if wanted == ASKED else wanted)
        assert SagaFact.objects.filter(saga=saga, applied_at=None).exists() is (wanted == ASKED)
    saga.refresh_from_db()
    assert len(history(saga)) == told + 1
    assert saga.revision == before + (wanted not in REFUSED)


def test_the_table_tells_of_every_situation():
    known = {
        name
        for name, value in vars(situations).items()
        if callable(value) and value.__module__ == situations.__name__
    }
    assert {name for name in known if not name.startswith("_")} == set(TABLE)


@pytest.mark.parametrize(
    ("situation", "operation", "why"),
    [
        ("pending", "retry", "it is pending and no step of it failed or waits for its next attempt."),
        ("completed", "retry", "it has ended as completed. Start a new saga instead."),
        ("pending", "resume", "it is pending, neither suspended nor stuck."),
        ("exhausted", "resume", "it is failed, not suspended. Retry it, or turn it back with compensate."),
        ("completed", "suspend", "it is completed, so nothing of it runs."),
        ("completed", "compensate", "it has ended as completed."),
        ("on_the_way_back", "compensate", "it goes back already. Let it go on."),
        ("failed_on_the_way_back", "compensate", "it goes back already. Retry the compensation that failed."),
        (
            "past_its_pivot",
            "compensate",
            "it has passed its pivot, or may have, and can only go forward. Retry it until it completes, "
            "then start the saga that reverses it.",
        ),
    ],
)
def test_a_refusal_says_why_and_what_to_do(define, play, situation, operation, why):
    saga = getattr(situations, situation)(define, play)
    with pytest.raises(OperationRefused) as refusal:
        perform(saga.pk, operation, by=None)
    assert str(refusal.value) == f"{operation.title()} was refused for {saga}: {why}"
