"""What holds for every page of the admin: nothing changes by looking, nothing is executed that was stored."""

from __future__ import annotations

import importlib
from urllib.parse import urljoin, urlsplit

import pytest
from django.apps import apps
from django.contrib.staticfiles import finders
from django.urls import reverse

from sagas import HALT
from sagas.admin import readonly
from sagas.models import HistoryEntry, Saga, Worker
from sagas.operations.catalogue import OPERATIONS
from sagas.operations.performing import perform
from sagas.redaction import HIDDEN
from sagas.testing import run_saga
from tests.doors.house import HouseStyle
from tests.doors.pages import Page
from tests.samples import ONCE, OrderInput, step

pytestmark = pytest.mark.django_db

EVIL = "<script>alert('{}')</script><img src=x onerror=alert(1)>"


def everything() -> dict[str, list[dict[str, object]]]:
    """Return every row of ours."""
    return {
        model.__name__: list(model._default_manager.order_by("pk").values())
        for model in apps.get_app_config("sagas").get_models()
    }


def crawl(client, start: str) -> dict[str, Page]:
    """Follow every link to one of our pages and return the pages by their addresses."""
    pages: dict[str, Page] = {}
    waiting = [start]
    while waiting:
        url = waiting.pop()
        if url in pages or "/jsi18n" in url:
            continue
        response = client.get(url, follow=True)
        assert response.status_code == 200, url
        if not response["Content-Type"].startswith("text/html"):
            continue
        pages[url] = Page(response)
        for link in pages[url].links:
            parts = urlsplit(urljoin(url, link))
            # One filter at a time: their combinations would take minutes.
            query = parts.query if "&" not in parts.query and "_changelist" not in parts.query else ""
            if parts.path.startswith(start):
                waiting.append(parts._replace(query=query, fragment="").geturl())
    return pages


@pytest.fixture
def evil(define, play, users) -> Saga:
    """A saga in which everything that can be stored is hostile."""
    definition = define(
        step("book"), step("pay", retry=ONCE), input=OrderInput, key="{order_id}", on_exhausted=HALT
    )
    class_name = EVIL.format("class")
    play.says("book", {EVIL.format("name"): EVIL.format("result")})
    play.says("pay", type(class_name, (Exception,), {})(EVIL.format("error")))
    name = EVIL.format("by")[:150]
    user = users.staff("retry_saga", username=name)
    saga = run_saga(definition, {"order_id": EVIL.format("key")}, by=user, correlation_id=EVIL.format("id"))
    perform(saga.pk, "retry", by=user, reason=EVIL.format("reason"))
    perform(saga.pk, "suspend", by=None, reason=EVIL.format("reason"))
    HistoryEntry.objects.create(saga=saga, kind="evidence", data={"result": EVIL.format("data")})
    return saga


def test_looking_changes_nothing(admin, sagas, evil):
    sagas.failed(), sagas.completed(), sagas.suspended(), sagas.pending()
    Worker.objects.create(host=EVIL.format("host"), pid=1, group=1, queue=EVIL.format("queue"), slots=1)
    before = everything()

    pages = crawl(admin, "/admin/sagas/")

    for word in ("saga", "sagastep", "historyentry", "worker"):
        assert any(f"/{word}/" in url and url.endswith("/change/") for url in pages), word
    assert everything() == before


def test_no_page_leads_to_djangos_log_of_edits(admin, sagas):
    sagas.failed()

    assert not [url for url in crawl(admin, "/admin/sagas/") if url.endswith("/history/")]


def test_nothing_that_was_stored_is_executed_and_a_strict_policy_refuses_nothing(admin, sagas, evil):
    sagas.failed()
    Worker.objects.create(host=EVIL.format("host"), pid=1, group=1, queue=EVIL.format("queue"), slots=1)

    for url, page in crawl(admin, "/admin/sagas/").items():
        assert page.refused == [], url
        assert not page.all("img", src="x"), url


def test_hostile_text_is_shown_as_it_was_stored(admin, evil):
    text = Page(admin.get(reverse("admin:sagas_saga_change", args=[evil.pk]))).text

    for word in ("class", "result", "error", "by", "key", "id", "reason", "data"):
        stored = EVIL.format(word)
        assert stored in text or stored.replace('"', '\\"') in text, word


@pytest.mark.urls("tests.doors.back_office")
def test_the_console_works_on_an_admin_site_of_the_projects_own(admin, sagas):
    saga = sagas.failed()

    pages = crawl(admin, "/back-office/")
    assert not [link for page in pages.values() for link in page.links if link.startswith("/admin/")]
    page = pages[f"/back-office/sagas/saga/{saga.pk}/change/"]
    [button] = [link for link in page.links if link.endswith("/retry/")]
    response = admin.post(button, {"revision": saga.revision})
    assert response["Location"] == f"/back-office/sagas/saga/{saga.pk}/change/"
    saga.refresh_from_db()
    assert saga.status == "running"


def test_the_pages_use_the_style_sheet_and_it_is_there(admin, sagas):
    saga = sagas.failed()
    for url in ("/admin/sagas/saga/?tab=all", reverse("admin:sagas_saga_change", args=[saga.pk])):
        assert Page(admin.get(url)).all("link", href="/static/sagas/admin.css"), url
    assert finders.find("sagas/admin.css")


def test_the_pages_may_be_made_of_a_class_of_the_projects_own(settings):
    settings.SAGAS = {"ADMIN_BASE_CLASS": "tests.doors.house.HouseStyle"}
    try:
        assert issubclass(importlib.reload(readonly).ReadOnlyAdmin, HouseStyle)
    finally:
        settings.SAGAS = {}
        importlib.reload(readonly)


def test_what_is_sensitive_is_on_no_page_of_those_who_may_not_see_it(client, users, define, play):
    canary = "canary-4111"
    play.says("book", {"deep": [{"card_number": canary}]})
    play.says("pay", RuntimeError(f"no account {canary}"))
    secret = define(
        step("book"), step("pay", retry=ONCE), input=OrderInput, sensitive=["order_id"], on_exhausted=HALT
    )
    saga = run_saga(secret, {"order_id": canary})
    perform(saga.pk, "edit", by=None, input={"order_id": f"{canary}-2"})
    views = [f"view_{model}" for model in ("saga", "sagastep", "historyentry", "worker", "hold", "sagabatch")]
    operations = {operation.permission.removeprefix("sagas.") for operation in OPERATIONS.values()}
    client.force_login(users.staff(*views, *operations))

    pages = crawl(client, "/admin/sagas/")
    assert any(f"{saga.pk}/operations/edit" in url for url in pages)
    for url, page in pages.items():
        told = page.text + str(page.elements)
        assert canary not in told, url
    data = client.get(reverse("admin:sagas_saga_data", args=[saga.pk])).content.decode()
    assert canary not in data
    assert HIDDEN in data
