"""A choreography is met at every door as other sagas are."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.urls import reverse

from sagas import Event, publish
from sagas.engine.runner import Ran
from sagas.keys import case_id
from sagas.management import recovery
from sagas.models import Saga
from sagas.testing import run_due
from tests.choreography.conftest import choreography, listener
from tests.samples import ONCE

__all__ = ["choreography", "listener"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def case(listener, choreography):
    """A case that goes on, with a dead letter."""
    listener.on("ticket.sold", lambda event: publish(Event("seat.taken", {"row": 7}, key=event.key)))
    listener.on("seat.taken", lambda event: 1 / 0, retry=ONCE)
    listener.on("ticket.sold.undo", undoes="ticket.sold")
    choreography("box.office", starts="ticket.sold", ends="show.seen")
    publish(Event("ticket.sold", {"n": 1}, key="7", correlation_id="case 7"))
    run_due()
    return Saga.objects.get(pk=case_id("case 7"))


def test_it_is_in_the_same_list_and_has_the_same_page(admin, case):
    page = admin.get(reverse("admin:sagas_saga_changelist"), {"tab": "all"}).content.decode()
    assert "box.office" in page
    page = admin.get(reverse("admin:sagas_saga_change", args=[case.pk])).content.decode()
    assert "ticket.sold" in page


def test_the_api_shows_it_and_its_events(api, case):
    [row] = api.get("/api/v1/sagas/").json()["results"]
    assert (row["kind"], row["definition"], row["attention"]) == ("choreography", "box.office", "dead_letter")
    sold, taken = api.get(f"/api/v1/sagas/{case.pk}/timeline/").json()
    assert (sold["event"]["topic"], [each["status"] for each in sold["deliveries"]]) == (
        "ticket.sold",
        ["done"],
    )
    [letter] = taken["deliveries"]
    assert (taken["event"]["causation_id"], letter["status"], letter["error_class"]) == (
        sold["event"]["event_id"],
        "dead",
        "ZeroDivisionError",
    )


def test_the_api_says_what_can_be_asked_of_it_and_does_it(api, case):
    offered = api.get(f"/api/v1/sagas/{case.pk}/operations/").json()
    assert {each["operation"] for each in offered if each["allowed"]} == {"compensate", "abandon"}
    plan = api.get(f"/api/v1/sagas/{case.pk}/operations/compensate/").json()
    assert [call["step"] for call in plan["calls"]] == ["ticket.sold.undo"]
    assert [each["step"] for each in plan["cannot_undo"]] == ["seat.taken"]
    refused = api.post(f"/api/v1/sagas/{case.pk}/retry/", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "choreographed")
    assert api.post(f"/api/v1/sagas/{case.pk}/compensate/", {}).status_code == 202
    run_due()
    case.refresh_from_db()
    assert case.status == "compensated"


def test_the_command_line_tells_its_events(case, capsys):
    call_command("show_saga", str(case.pk))
    said = capsys.readouterr().out
    assert "seat.taken" in said
    assert "ZeroDivisionError: division by zero" in said


def test_one_that_nobody_looks_at_is_found(case, capsys):
    Saga.objects.filter(pk=case.pk).update(due_at="2020-01-01T00:00Z")
    call_command("recover_sagas", "--dry-run")
    assert "box.office 7" in capsys.readouterr().out


def test_recovery_delivers_what_is_due_in_this_process(case, monkeypatch):
    publish(Event("ticket.sold", {"n": 2}, correlation_id="case 8"))
    ran = []

    def run_all(**options):
        ran.append(True)
        run_due()
        return Ran()

    monkeypatch.setattr(recovery, "_run", run_all)  # The real one works on another connection.
    call_command("recover_sagas", "--run")
    assert ran
    assert Saga.objects.get(pk=case_id("case 8")).status == "running"
