"""A failover to a copy that lacks the last commits: what was done is done again, under the same keys."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.models import Model

from sagas import PermanentFailure, start
from sagas.models import HistoryEntry, Saga, SagaStep
from sagas.testing import run_due
from tests.engine.hands import Hand
from tests.samples import step

pytestmark = pytest.mark.django_db

MODELS: tuple[type[Model], ...] = (Saga, SagaStep, HistoryEntry)


def snapshot() -> list[list[dict[str, Any]]]:
    return [list(model._default_manager.order_by("pk").values()) for model in MODELS]


def come_back_as(rows: list[list[dict[str, Any]]]) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('sagas.retention', 'on', true)")
    Saga.objects.all().delete()
    for model, stored in zip(MODELS, rows, strict=True):
        model._default_manager.bulk_create(model(**row) for row in stored)


@pytest.mark.parametrize(
    ("fails", "lost", "end"),
    [
        (False, ["b", "c"], "completed"),
        (True, ["b", "c", "undo b", "undo a"], "compensated"),
    ],
)
def test_what_was_lost_is_done_again_under_the_same_keys(define, play, fails, lost, end):
    if fails:
        play.always("c", PermanentFailure("no"))
    saga = start(define(step("a"), step("b"), step("c")), {})
    hand = Hand()
    hand.settle(*hand.call(hand.take()), begin=False)
    older = snapshot()
    run_due()
    assert play.calls == ["a", *lost]

    come_back_as(older)
    run_due()

    assert play.calls == ["a", *lost, *lost]
    for call in lost:
        assert len({ctx.idempotency_key for ctx in play.contexts[call]}) == 1
    saga.refresh_from_db()
    assert saga.status == end
