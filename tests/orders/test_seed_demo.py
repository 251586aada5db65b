"""`seed_demo`: many sagas that never ran, and that look as if they had."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from orders.demo.past import FATES, past
from sagas.clock import database_now
from sagas.engine.recovery import lost
from sagas.figures import failure_groups
from sagas.models import HistoryEntry, Saga, SagaStep
from sagas.operations.performing import perform
from sagas.operations.previewing import preview
from sagas.states import LIVE, SagaStatus
from sagas.testing import advance

pytestmark = pytest.mark.django_db

NUMBER = 600


@pytest.fixture
def seeded(settings, capsys):
    settings.DEBUG = True
    call_command("seed_demo", "--sagas", str(NUMBER))
    return capsys.readouterr().out


def test_it_is_refused_where_debug_is_off():
    with pytest.raises(CommandError, match="refused with DEBUG=0"):
        call_command("seed_demo")
    assert not Saga.objects.exists()


def test_there_are_sagas_of_every_fate(seeded):
    assert f"Stored {NUMBER} sagas in " in seeded
    statuses = Counter(Saga.objects.values_list("status", flat=True))
    assert statuses.total() == NUMBER
    assert set(statuses) == {fate.status.value for fate in FATES}
    assert statuses["completed"] > 0.8 * NUMBER
    assert len(failure_groups()) >= 4


def test_they_can_be_seeded_again(seeded):
    call_command("seed_demo", "--sagas", "10")
    assert Saga.objects.count() == NUMBER + 10


def test_nothing_of_it_is_for_workers_to_do(seeded):
    before = sorted(Saga.objects.values_list("pk", "status", "revision"))
    assert not lost().exists()
    advance(timedelta(days=30))
    assert sorted(Saga.objects.values_list("pk", "status", "revision")) == before


def test_their_columns_agree_with_their_steps_and_history(seeded):
    steps = Counter(SagaStep.objects.values_list("saga_id", flat=True))
    done = Counter(SagaStep.objects.filter(status="completed").values_list("saga_id", flat=True))
    last = dict(HistoryEntry.objects.exclude(to_status="").order_by("id").values_list("saga_id", "to_status"))
    for saga in Saga.objects.all():
        assert (saga.steps_total, saga.steps_done) == (steps[saga.pk], done[saga.pk])
        assert last[saga.pk] == saga.status
        assert (saga.ended_at is None) == (saga.status in LIVE)
        assert bool(saga.attention) == (saga.status == SagaStatus.FAILED)
        assert saga.created_at <= saga.updated_at


def test_operators_can_act_on_them(seeded):
    for fate in FATES:
        if fate.status == SagaStatus.FAILED and fate.attention != "definition_drift":
            saga = Saga.objects.filter(status=fate.status, attention=fate.attention).latest("created_at")
            refusal = preview(saga.pk, "retry", by=None).refusal
            # What may have taken effect days ago is not sent again: that is for a person to find out.
            assert refusal is None or (refusal.code == "key_expired" and fate.came_to == "unknown")
    suspended = Saga.objects.filter(status="suspended")[0]
    perform(suspended.pk, "resume", by=None)
    suspended.refresh_from_db()
    assert suspended.status == "running"


def test_the_same_seed_draws_the_same_fates(db):
    now = database_now(Saga.objects.db)
    first, second = ([each.saga["status"] for each in past(50, until=now, seed=7)] for _ in range(2))
    assert first == second
