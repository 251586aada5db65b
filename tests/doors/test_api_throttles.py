"""Bounds on how often one may start and operate, where the project sets them."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from rest_framework.settings import api_settings

from tests.doors.test_api_start import ORDER, URL, assert_problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def rates(settings):
    cache.clear()

    def set_rates(**rates: str) -> None:
        named = {name.replace("_", "-"): rate for name, rate in rates.items()}
        settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": named}
        api_settings.reload()

    yield set_rates
    cache.clear()


def start(api, number: int) -> Any:
    return api.post(URL, ORDER | {"input": {"order_id": str(number)}})


def test_nobody_is_bounded_unless_the_project_says_so(api, trip):
    assert {start(api, number).status_code for number in range(30)} == {202}


def test_starting_may_be_bounded(api, trip, rates):
    rates(saga_start="2/hour")

    assert [start(api, number).status_code for number in range(2)] == [202, 202]
    response = start(api, 3)
    assert_problem(response, 429, "throttled")
    assert int(response["Retry-After"]) > 0
    assert api.get(URL).status_code == 200


def test_operating_may_be_bounded_apart_from_starting(api, sagas, rates):
    rates(saga_operate="1/hour")
    saga = sagas.failed()

    assert api.post(f"{URL}{saga.pk}/retry/").status_code == 202
    assert_problem(api.post(f"{URL}{saga.pk}/suspend/"), 429, "throttled")
    assert start(api, 7).status_code == 202
