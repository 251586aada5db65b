"""Holds in the admin."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from sagas.models import Hold
from sagas.operations.holding import hold
from tests.doors.pages import Page

pytestmark = pytest.mark.django_db

HOLD = "/admin/sagas/hold/hold/"
LIST = "/admin/sagas/hold/"


def test_a_definition_is_held_and_everybody_is_told(admin, sagas):
    saga = sagas.pending()

    response = admin.post(HOLD, {"what": "definition:samples.trip", "reason": "the bank is closed"})

    assert response["Location"] == LIST
    held = Hold.objects.get()
    assert (held.definition, held.by, held.reason, held.until) == (
        "samples.trip",
        "root",
        "the bank is closed",
        None,
    )
    for path in (
        "/admin/sagas/saga/?tab=all",
        reverse("admin:sagas_saga_change", args=[saga.pk]),
        LIST,
    ):
        assert "the bank is closed" in Page(admin.get(path)).text


def test_a_hold_may_end_by_itself(admin, sagas):
    until = timezone.localtime() + timedelta(hours=2)

    admin.post(
        HOLD, {"what": "definition:samples.trip", "reason": "lunch", "until": f"{until:%Y-%m-%dT%H:%M}"}
    )

    assert Hold.objects.get().until == until.replace(second=0, microsecond=0)


def test_only_what_the_code_knows_can_be_held_and_a_reason_is_needed(admin, sagas):
    page = Page(admin.post(HOLD, {"what": "definition:nothing", "reason": "x"}))
    assert "Select a valid choice" in page.text
    page = Page(admin.post(HOLD, {"what": "definition:samples.trip"}))
    assert "This field is required." in page.text
    assert not Hold.objects.exists()


def test_a_hold_is_looked_at_and_released(admin, sagas):
    held = hold(definition="samples.trip", by="ada", reason="the bank is closed")
    release = reverse("admin:sagas_hold_release", args=[held.pk])
    assert release in Page(admin.get(LIST)).links

    assert "held by ada" in Page(admin.get(release)).text
    assert Hold.objects.exists()
    assert admin.post(release)["Location"] == LIST
    assert not Hold.objects.exists()
    assert admin.get(release).status_code == 404


@pytest.mark.parametrize("codenames", [[], ["view_hold"], ["view_saga", "retry_saga"]])
def test_holding_and_releasing_take_their_permission(client, users, sagas, codenames):
    held = hold(definition="samples.trip", by=None)
    client.force_login(users.staff(*codenames))

    for method in (client.get, client.post):
        assert method(HOLD, {"what": "definition:samples.trip", "reason": "x"}).status_code == 403
        assert method(reverse("admin:sagas_hold_release", args=[held.pk])).status_code == 403
    assert Hold.objects.exists()
    assert client.get(LIST).status_code == (200 if "view_hold" in codenames else 403)
