"""The console in Debian's Chromium: what operators do, and that nothing keeps anybody out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from django.db import connection
from django.urls import reverse
from playwright.sync_api import expect

from sagas import HALT, Event, PermanentFailure, RetryLater, publish, start_many
from sagas.models import InboxMessage, OutboxMessage, Saga, SagaBatch
from sagas.operations import chunks
from sagas.operations.drafting import draft
from sagas.operations.holding import hold
from sagas.operations.selection import Selection
from sagas.testing import run_due, run_saga
from tests.browser.conftest import apart_from_the_browser
from tests.choreography.conftest import listener  # noqa: F401
from tests.doors.conftest import root, sagas, trip, users  # noqa: F401
from tests.samples import ONCE, OrderInput, step

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.processes,
    pytest.mark.skipif(connection.vendor == "sqlite", reason="to a browser one database is like the other"),
]

LIST = "/admin/sagas/saga/"
WIDER_THAN_THE_WINDOW = """() => [...document.querySelectorAll("#content *")]
    .filter((each) => !each.closest(".saga-scroll") && each.getBoundingClientRect().right > innerWidth + 1)
    .map((each) => each.outerHTML.slice(0, 120))"""
DJANGOS_OWN = {
    "link-in-text-block",  # The breadcrumbs are told from other text by their colour only.
    "label",  # The box of the search has an image for a label.
    "region",  # Its skip link and its breadcrumbs lie outside of every landmark.
}


def test_an_operator_finds_what_failed_reads_why_and_retries_it(root, sagas, visit):  # noqa: F811
    saga = sagas.failed()
    visitor = visit(root)

    page = visitor.goes_to(LIST)
    expect(page.locator("nav.saga-tabs a[aria-current]")).to_have_text(re.compile("Needs attention"))
    page.get_by_role("link", name=str(saga.pk)[-8:]).click()
    expect(page.locator(".saga-banner")).to_contain_text("This saga needs a person")
    expect(page.locator(".saga-banner")).to_contain_text("the bank is closed")
    page.get_by_role("link", name="Retry…").click()
    expect(page.get_by_role("row", name=re.compile("pay"))).to_contain_text("run again")
    page.get_by_label("Reason").fill("The bank is open.")
    page.get_by_role("button", name="Yes, retry").click()
    expect(page.locator(".messagelist")).to_contain_text("Retry was requested.")
    expect(page.locator("[role=status]").first).to_contain_text("running")
    with apart_from_the_browser():
        run_due()
    # Nobody loads the page again: it looks by itself.
    expect(page.locator("[role=status]").first).to_contain_text("completed")
    expect(page.locator("#history + p + .saga-scroll")).to_contain_text("The bank is open.")
    assert visitor.complaints == []


def test_all_of_it_works_without_a_script(root, sagas, visit):  # noqa: F811
    saga = sagas.failed()
    visitor = visit(root, java_script_enabled=False)

    page = visitor.goes_to(reverse("admin:sagas_saga_change", args=[saga.pk]))
    page.get_by_role("link", name="Compensate…").click()
    page.get_by_label("Reason").fill("The customer changed their mind.")
    page.get_by_role("button", name="Yes, compensate").click()
    expect(page.locator(".messagelist")).to_contain_text("Compensate was requested.")
    saga.refresh_from_db()
    assert saga.status == "compensating"


def test_a_batch_of_five_hundred_is_looked_at_started_and_seen_through(define, play, root, visit):  # noqa: F811
    definition = define(step("pay", retry=ONCE), input=OrderInput, on_exhausted=HALT)
    play.always("pay", lambda ctx: (_ for _ in ()).throw(RetryLater("the bank is closed")))
    start_many(definition, ({"order_id": str(number)} for number in range(500)))
    run_due()
    assert Saga.objects.filter(status="failed").count() == 500
    play.always("pay", lambda ctx: {"reference": "r"})
    visitor = visit(root)

    page = visitor.goes_to(LIST)
    page.locator("#action-toggle").check()
    page.get_by_role("button", name="Select all that the filter finds").click()
    page.locator("select[name=action]").select_option("retry")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(page.locator("h1").last).to_have_text("Retry 500 sagas")
    page.get_by_label("Reason").fill("The bank is open.")
    page.get_by_label("Type 500 to confirm").fill("499")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".errorlist")).to_contain_text("It is for 500 sagas.")
    page.get_by_label("Type 500 to confirm").fill("500")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("[role=status]")).to_contain_text("0 of 500")
    batch = SagaBatch.objects.get()
    SagaBatch.objects.update(rate=100_000)
    while batch.status == "running":
        batch.refresh_from_db()
        chunks.run(batch.pk, batch.turn)
    with apart_from_the_browser():
        run_due()
    expect(page.locator("[role=status]")).to_contain_text("500 of 500")
    page.reload()
    expect(page.locator("dl").first).to_contain_text(re.compile(r"of these healed\s*500"))
    assert visitor.complaints == []


def test_who_may_only_look_can_only_look(users, sagas, visit):  # noqa: F811
    saga = sagas.failed()
    visitor = visit(users.staff("view_saga"))

    page = visitor.goes_to(LIST)
    actions = page.locator("select[name=action] option").all_text_contents()
    assert [each for each in actions if "…" in each] == []
    page = visitor.goes_to(reverse("admin:sagas_saga_change", args=[saga.pk]))
    expect(page.get_by_role("button", name="Retry…")).to_be_disabled()
    assert page.get_by_role("link", name="Retry…").count() == 0
    page = visitor.goes_to(reverse("admin:sagas_saga_operate", args=[saga.pk, "retry"]))
    expect(page.locator("body")).to_contain_text("403")


def test_stored_text_is_never_run(define, play, root, visit):  # noqa: F811
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    definition = define(step("book"), step("pay", retry=ONCE), input=OrderInput, on_exhausted=HALT)
    play.says("book", {evil: evil})
    play.says("pay", type(evil, (Exception,), {})(evil))
    saga = run_saga(definition, {"order_id": evil}, correlation_id=evil)
    visitor = visit(root)

    for path in (
        LIST,
        reverse("admin:sagas_saga_change", args=[saga.pk]),
        reverse("admin:sagas_saga_dashboard"),
    ):
        page = visitor.goes_to(path)
        expect(page.locator("#content")).to_contain_text("<script>alert(1)")
    assert visitor.complaints == []


def refuse(event: Event) -> None:
    raise PermanentFailure("no such address")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anybody_out_and_the_browser_complains_of_nothing(
    root,  # noqa: F811
    sagas,  # noqa: F811
    listener,  # noqa: F811
    visit,
    scheme,
):
    saga, unknown = sagas.failed(), sagas.unknown()
    sagas.completed(), sagas.pending(), sagas.suspended()
    batch = draft("retry", Selection(ids=(saga.pk,)), by=root)
    held = hold(definition="samples.trip", by=root, reason="The bank is closed.")
    listener.on("parcel.sent", refuse, name="office")
    publish(Event("parcel.sent", {"n": 1}), Event("parcel.lost"))
    run_due()
    letter, event = InboxMessage.objects.get(status="dead"), OutboxMessage.objects.get(topic="parcel.sent")
    visitor = visit(root, color_scheme=scheme)
    found: dict[str, Any] = {}
    complaints: list[str] = []

    for path in (
        LIST + "?tab=all",
        reverse("admin:sagas_saga_change", args=[saga.pk]),
        reverse("admin:sagas_saga_operate", args=[saga.pk, "compensate"]),
        reverse("admin:sagas_saga_operate", args=[unknown.pk, "resolve"]),
        reverse("admin:sagas_saga_choose"),
        reverse("admin:sagas_saga_start", args=["samples.trip"]),
        reverse("admin:sagas_saga_dashboard"),
        reverse("admin:sagas_sagabatch_changelist"),
        reverse("admin:sagas_sagabatch_change", args=[batch.pk]),
        reverse("admin:sagas_hold_changelist"),
        reverse("admin:sagas_hold_hold"),
        reverse("admin:sagas_hold_release", args=[held.pk]),
        reverse("admin:sagas_outboxmessage_traffic"),
        reverse("admin:sagas_outboxmessage_changelist"),
        reverse("admin:sagas_outboxmessage_change", args=[event.pk]),
        reverse("admin:sagas_inboxmessage_changelist") + "?tab=dead",
        reverse("admin:sagas_inboxmessage_change", args=[letter.pk]),
        reverse("admin:sagas_inboxmessage_act", args=[letter.pk, "resolve"]),
    ):
        page = visitor.goes_to(path)
        complaints += visitor.complaints
        violations = Axe().run(page).response["violations"]
        if ours := [
            (each["id"], [node["html"][:200] for node in each["nodes"]][:3])
            for each in violations
            if each["id"] not in DJANGOS_OWN
        ]:
            found[path] = ours
        visitor.complaints.clear()  # What axe itself does is not ours.
    assert found == {}
    assert complaints == []


def test_nothing_lies_outside_of_a_narrow_window(root, sagas, visit):  # noqa: F811
    saga = sagas.failed()
    visitor = visit(root, viewport={"width": 360, "height": 740})

    for path in (
        reverse("admin:sagas_saga_change", args=[saga.pk]),
        reverse("admin:sagas_saga_operate", args=[saga.pk, "retry"]),
        reverse("admin:sagas_saga_dashboard"),
        reverse("admin:sagas_outboxmessage_traffic"),
    ):
        page = visitor.goes_to(path)
        wide = page.evaluate(WIDER_THAN_THE_WINDOW)
        assert wide == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
