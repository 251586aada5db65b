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

OPERATIONS = ("retry", "resume", "suspend", "compensate")

# A status: it is done, and the saga stands so. "asked": it is left for the worker. Else the refusal's code.
TABLE = {
    #                              retry           resume          suspend      compensate
    "pending":                    (STATE,          STATE,          "suspended", "compensating"),
    "stuck":                      (STATE,          "pending",      "suspended", "compensating"),
    "in_hand":                    (STATE,          STATE,          "asked",     "asked"),
    "left_by_its_worker":         (STATE,          "running",      "asked",     "asked"),
    "between_attempts":           ("running",      STATE,          "suspended", "compensating"),
    "past_its_pivot":             ("running",      STATE,          "suspended", PIVOT),
    "perhaps_past_its_pivot":     ("running",      STATE,          "suspended", PIVOT),
    "on_the_way_back":            ("compensating", STATE,          "suspended", STATE),
    "in_hand_on_the_way_back":    (STATE,          STATE,          "asked",     STATE),
    "suspended":                  (STATE,          "running",      STATE,       "compensating"),
    "suspended_between_attempts": (STATE,          "running",      STATE,       "compensating"),
    "suspended_on_the_way_back":  (STATE,          "compensating", STATE,       STATE),
    "exhausted":                  ("running",      STATE,          STATE,       "compensating"),
    "exhausted_in_doubt":         ("running",      STATE,          STATE,       "compensating"),
    "failed_past_its_pivot":      ("running",      STATE,          STATE,       PIVOT),
    "failed_at_its_pivot":        ("running",      STATE,          STATE,       PIVOT),
    "failed_on_the_way_back":     ("compensating", STATE,          STATE,       STATE),
    "completed":                  (STATE,          STATE,          STATE,       STATE),
    "compensated":                (STATE,          STATE,          STATE,       STATE),
    "abandoned":                  (STATE,          STATE,          STATE,       STATE),
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
    if wanted in (STATE, PIVOT):
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
        assert saga.status == (status if wanted == "asked" else wanted)
        assert SagaFact.objects.filter(saga=saga, applied_at=None).exists() is (wanted == "asked")
    saga.refresh_from_db()
    assert len(history(saga)) == told + 1
    assert saga.revision == before + (wanted not in (STATE, PIVOT))


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
