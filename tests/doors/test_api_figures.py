"""How many sagas stand where, and whether they move, over HTTP."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError
from rest_framework.test import APIClient

from sagas import clock
from sagas.models import Worker
from sagas.operations.holding import hold
from tests.doors.test_api_start import assert_problem

pytestmark = pytest.mark.django_db

STATS, HEALTH = "/api/v1/stats/", "/api/v1/health/"


def test_sagas_are_counted_by_status(api, sagas):
    sagas.failed()
    sagas.completed()
    sagas.pending()
    sagas.pending()
    Worker.objects.create(host="here", pid=1, group=1, queue="sagas", slots=1)
    hold(definition="samples.trip", by=None)

    response = api.get(STATS)
    assert response.status_code == 200
    assert response["Cache-Control"] == "max-age=5, private"
    body = response.json()
    assert {status: each["count"] for status, each in body["sagas"].items() if each["count"]} == {
        "failed": 1,
        "pending": 2,
        "completed": 1,
    }
    assert body["sagas"]["pending"]["oldest_seconds"] >= 0
    assert (body["sagas"]["completed"]["oldest_seconds"], body["sagas"]["running"]["count"]) == (None, 0)
    assert (body["attention"], body["stuck"], body["oldest_stuck_seconds"]) == (1, 0, None)
    assert (body["workers"], body["holds"]) == (1, 1)
    assert (body["dead_letters"], body["oldest_late_event_seconds"]) == (0, None)


def test_what_nobody_moves_is_counted_as_stuck(api, sagas):
    sagas.pending()
    clock.shift(timedelta(seconds=90))

    body = api.get(STATS).json()
    assert body["stuck"] == 1
    assert body["oldest_stuck_seconds"] >= 90


def test_those_that_have_ended_are_counted_up_to_a_bound(api, sagas, monkeypatch):
    monkeypatch.setattr("sagas.api.figures.MOST_COUNTED", 2)
    for _ in range(3):
        sagas.completed()

    assert api.get(STATS).json()["sagas"]["completed"] == {"count": 2, "more": True, "oldest_seconds": None}


def test_figures_cost_the_same_number_of_queries_however_many_sagas_there_are(
    api, sagas, django_assert_max_num_queries
):
    for _ in range(5):
        sagas.pending()
    with django_assert_max_num_queries(10):
        api.get(STATS)


@pytest.mark.parametrize(("codenames", "status"), [(None, 401), ((), 403), (("view_saga",), 200)])
def test_figures_take_the_permission_to_view(users, codenames, status):
    client = APIClient()
    if codenames is not None:
        client.force_authenticate(users.staff(*codenames))

    assert client.get(STATS).status_code == status


def test_anybody_may_ask_whether_all_is_well(client, sagas):
    response = client.get(HEALTH)

    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response["Cache-Control"] == "no-store"


def test_sagas_that_nobody_takes_are_no_good_health(client, api, sagas):
    sagas.pending()
    assert client.get(HEALTH).status_code == 200
    clock.shift(timedelta(seconds=61))

    response = client.get(HEALTH)
    assert (response.status_code, response.json()) == (503, {"status": "degraded"})
    assert api.get(HEALTH).json()["details"] == {"database": "ok", "overdue": 1}


def test_a_database_that_is_away_is_no_good_health(client, monkeypatch):
    def fail(*args):
        raise DatabaseError("gone")

    monkeypatch.setattr("sagas.api.figures.overdue", fail)
    assert (client.get(HEALTH).status_code, client.get(HEALTH).json()) == (503, {"status": "degraded"})


def test_wrong_credentials_are_told_also_here(client):
    response = client.get(HEALTH, headers={"Authorization": "Token nonsense"})
    assert_problem(response, 401, "authentication_failed")
