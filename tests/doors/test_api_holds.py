"""Holds over HTTP."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from sagas.models import Hold
from sagas.testing import run_due
from tests.doors.test_api_start import assert_problem, pointers
from tests.samples import BANK, step

pytestmark = pytest.mark.django_db

URL = "/api/v1/holds/"
TRIP = {"definition": "samples.trip", "reason": "the bank is closed"}


@pytest.fixture(autouse=True)
def definition(trip):
    return trip


def test_what_is_held_does_not_go_on_until_it_is_released(api, sagas):
    saga = sagas.pending()

    response = api.post(URL, TRIP)
    assert response.status_code == 201
    held = response.json()
    assert (held["definition"], held["by"], held["reason"]) == ("samples.trip", "root", "the bank is closed")
    assert (held["until"], held["at"][-1]) == (None, "Z")
    assert api.get(URL).json() == [held]
    run_due()
    saga.refresh_from_db()
    assert saga.status == "pending"
    assert saga.steps.get(name="book").waits_for == "hold"

    released = api.delete(f"{URL}{held['id']}/")
    assert (released.status_code, released.json()) == (200, {"released": 1})
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"
    assert api.get(URL).json() == []


def test_a_participant_may_be_held(api, define):
    define(step("pay", participant=BANK), name="samples.paid")

    assert api.post(URL, {"participant": "bank"}).json()["participant"] == "bank"


def test_holding_what_is_held_changes_reason_and_end(api):
    first = api.post(URL, TRIP).json()
    until = (timezone.now() + timedelta(hours=1)).isoformat()

    again = api.post(URL, TRIP | {"reason": "still", "until": until})
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["reason"]) == (first["id"], "still")
    assert again.json()["until"] is not None


def test_a_hold_that_is_over_is_listed_no_more(api):
    api.post(URL, TRIP | {"until": (timezone.now() - timedelta(seconds=1)).isoformat()})

    assert api.get(URL).json() == []


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, [""]),
        ({"definition": "samples.trip", "participant": "bank"}, [""]),
        ({"definition": "samples.nothing"}, ["/definition"]),
        ({"participant": "nobody"}, ["/participant"]),
        ({"definition": 7}, ["/definition"]),
        (TRIP | {"until": "soon"}, ["/until"]),
        (TRIP | {"by": "me"}, ["/by"]),
    ],
)
def test_a_hold_is_refused_field_by_field(api, body, places):
    assert pointers(assert_problem(api.post(URL, body), 400, "validation_error")) == places
    assert not Hold.objects.exists()


@pytest.mark.parametrize("pk", ["1", "none", "9" * 30, "-1", "²"])
def test_a_hold_that_is_not_there_is_not_found(api, pk):
    assert_problem(api.delete(f"{URL}{pk}/"), 404, "not_found")


@pytest.mark.parametrize(
    ("codenames", "looking", "holding"),
    [(None, 401, 401), ((), 403, 403), (("view_saga",), 200, 403), (("hold_saga",), 403, 201)],
)
def test_looking_and_holding_are_permissions_of_their_own(users, codenames, looking, holding):
    client = APIClient()
    if codenames is not None:
        client.force_authenticate(users.staff(*codenames))

    assert client.get(URL).status_code == looking
    assert client.post(URL, TRIP).status_code == holding
    held, _new = Hold.objects.get_or_create(definition="samples.trip")
    assert client.delete(f"{URL}{held.pk}/").status_code == (200 if holding == 201 else holding)
