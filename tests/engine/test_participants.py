"""Effects of this project's own services: once per key, and gone for good when they are undone."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group

from sagas import PermanentFailure, clock, idempotent
from sagas.exceptions import NotStorable
from sagas.idempotency import purge_expired
from sagas.models import IdempotencyRecord
from sagas.participants import effect_once, undo_once
from tests.samples import HOUR, SECOND

pytestmark = pytest.mark.django_db

KEY = uuid4()
JSON: list[Any] = [None, 0, "", [], {}, False]


@pytest.fixture
def charge():
    """Charges a card, and tells what the till says."""

    def have_effect() -> dict[str, Any]:
        Group.objects.create(name=f"charge {Group.objects.count() + 1}")
        return {"charge": Group.objects.count()}

    return have_effect


@pytest.fixture
def refund():
    """Gives the money back, and notes which charge's."""
    refunded: list[Any] = []
    return refunded


def test_an_effect_is_had_once_and_its_result_every_time(charge):
    assert effect_once(KEY, charge) == {"charge": 1}
    assert effect_once(KEY, charge) == {"charge": 1}
    assert Group.objects.count() == 1


def test_another_key_is_another_effect(charge):
    effect_once(KEY, charge)
    assert effect_once(uuid4(), charge) == {"charge": 2}


def test_an_effect_is_undone_once_with_its_result(charge, refund):
    effect_once(KEY, charge)
    assert undo_once(KEY, refund.append)
    assert not undo_once(KEY, refund.append)
    assert refund == [{"charge": 1}]


def test_an_effect_that_was_undone_is_not_had_again(charge, refund):
    effect_once(KEY, charge)
    undo_once(KEY, refund.append)
    with pytest.raises(PermanentFailure) as refusal:
        effect_once(KEY, charge)
    assert str(refusal.value) == (
        f"What was asked for under {KEY} has been undone, so it is not done any more."
    )
    assert Group.objects.count() == 1


def test_nor_is_one_whose_undo_came_first(charge, refund):
    assert not undo_once(KEY, refund.append)
    with pytest.raises(PermanentFailure):
        effect_once(KEY, charge)
    assert not undo_once(KEY, refund.append)
    assert refund == []
    assert not Group.objects.exists()


def test_the_key_may_be_text(charge, refund):
    effect_once(str(KEY), charge)
    assert undo_once(KEY, refund.append)


def test_an_effect_that_fails_leaves_nothing(charge):
    def fail() -> dict[str, Any]:
        charge()
        raise PermanentFailure("declined")

    with pytest.raises(PermanentFailure, match="declined"):
        effect_once(KEY, fail)
    assert not Group.objects.exists()
    assert effect_once(KEY, charge) == {"charge": 1}


def test_an_undo_that_fails_can_be_tried_again(charge, refund):
    def fail(result: dict[str, Any]) -> None:
        raise ConnectionError

    effect_once(KEY, charge)
    with pytest.raises(ConnectionError):
        undo_once(KEY, fail)
    assert undo_once(KEY, refund.append)


def test_a_result_that_cannot_be_stored_is_no_effect(charge):
    def odd() -> dict[str, Any]:
        return {"charge": {charge()["charge"]}}

    with pytest.raises(NotStorable, match=f"The effect under {KEY}"):
        effect_once(KEY, odd)
    assert not Group.objects.exists()


class TestIdempotent:
    def test_what_was_called_under_a_key_is_called_once(self, charge):
        assert idempotent("k", charge) == {"charge": 1}
        assert idempotent("k", charge) == {"charge": 1}
        assert Group.objects.count() == 1

    def test_a_result_may_be_any_json(self):
        for number, result in enumerate(JSON):
            for _ in range(2):
                assert idempotent(f"k{number}", partial(copy, result)) == result

    def test_nothing_is_a_result_too(self):
        called: list[int] = []
        for _ in range(2):
            assert idempotent("k", lambda: called.append(1)) is None
        assert called == [1]

    def test_scopes_do_not_share_keys(self, charge):
        assert idempotent("k", charge, scope="a") == {"charge": 1}
        assert idempotent("k", charge, scope="b") == {"charge": 2}

    def test_nor_do_they_with_effects(self, charge):
        effect_once("k", charge)
        assert idempotent("k", charge) == {"charge": 2}

    def test_what_raised_is_not_kept(self, charge):
        with pytest.raises(ZeroDivisionError):
            idempotent("k", lambda: 1 / 0)
        assert idempotent("k", charge) == {"charge": 1}

    def test_it_commits_with_the_call_or_not_at_all(self, charge):
        def fail() -> None:
            charge()
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            idempotent("k", fail)
        assert not Group.objects.exists()
        assert not IdempotencyRecord.objects.exists()

    def test_what_cannot_be_stored_is_refused(self):
        with pytest.raises(NotStorable, match="The result kept under k"):
            idempotent("k", lambda: {1, 2})

    def test_a_result_is_kept_for_its_time(self, charge):
        idempotent("k", charge, ttl=HOUR)
        clock.shift(HOUR - SECOND)
        assert idempotent("k", charge, ttl=HOUR) == {"charge": 1}
        clock.shift(2 * SECOND)
        assert idempotent("k", charge, ttl=HOUR) == {"charge": 2}
        clock.shift(HOUR - SECOND)
        assert idempotent("k", charge) == {"charge": 2}

    def test_by_default_for_a_week(self, charge):
        idempotent("k", charge)
        clock.shift(7 * 24 * HOUR - SECOND)
        assert idempotent("k", charge) == {"charge": 1}
        clock.shift(2 * SECOND)
        assert idempotent("k", charge) == {"charge": 2}

    def test_or_as_the_project_says(self, charge, settings):
        settings.SAGAS = settings.SAGAS | {"IDEMPOTENCY_TTL": HOUR}
        idempotent("k", charge)
        clock.shift(HOUR + SECOND)
        assert idempotent("k", charge) == {"charge": 2}

    def test_what_is_over_is_purged_and_the_rest_is_not(self, charge):
        idempotent("short", charge, ttl=HOUR)
        idempotent("long", charge, ttl=3 * HOUR)
        assert purge_expired() == 0
        clock.shift(2 * HOUR)
        assert purge_expired() == 1
        assert IdempotencyRecord.objects.get().key == "long"
