"""The page of one saga."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.backends import BaseBackend
from django.urls import reverse

from sagas import PermanentFailure, clock
from sagas.admin import chronicle, payloads
from sagas.definitions import registry
from sagas.models import HistoryEntry, Worker
from sagas.operations.catalogue import OPERATIONS
from sagas.operations.performing import perform
from sagas.testing import run_saga
from tests.doors.pages import Page
from tests.engine.hands import Hand
from tests.samples import step

pytestmark = pytest.mark.django_db


def url_of(saga) -> str:
    return reverse("admin:sagas_saga_change", args=[saga.pk])


def operation_url(saga) -> str:
    return reverse("admin:sagas_saga_operate", args=[saga.pk, "abandon"])


def test_the_page_tells_what_failed_and_what_happened(admin, sagas):
    saga = sagas.failed()
    failed_step = saga.steps.get(name="pay")

    text = Page(admin.get(url_of(saga))).text
    for words in (
        "samples.trip order:1",
        "✕ failed",
        str(saga.pk),
        "This saga needs a person: a step's attempts are used up.",
        "RetryLater the bank is closed",
        "samples.trip, version 1",
        "1/2",
        '"order_id": "1"',
        str(failed_step.idempotency_key),
        str(failed_step.undo_key),
        "running → failed",
        "pay, attempt 1",
    ):
        assert words in text


def test_steps_tell_their_results_and_their_way_back(admin, define, play):
    definition = define(step("book"), step("pay"))
    play.says("book", {"seat": "12A"})
    play.says("pay", PermanentFailure("declined"))
    saga = run_saga(definition, {})

    text = Page(admin.get(url_of(saga))).text
    assert '"seat": "12A"' in text
    assert "PermanentFailure declined" in text
    assert "↺ compensated" in text
    assert "✕ failed" in text


def test_a_step_that_waits_says_until_when(admin, retrying):
    page = Page(admin.get(url_of(retrying)))

    due = retrying.steps.get().due_at
    assert "the next attempt" in page.text
    assert page.all("time", datetime=due.isoformat())


def test_whoever_holds_the_saga_is_named(admin, sagas):
    saga = sagas.pending()
    hand = Hand()
    hand.take()
    assert f"a worker that is gone ({hand.id})" in Page(admin.get(url_of(saga))).text

    Worker.objects.create(id=hand.id, host="box", pid=7, group=7, queue="sagas", slots=1)
    page = Page(admin.get(url_of(saga)))
    assert "box:7" in page.text
    assert "Lease ends" in page.text


def test_attempts_lost_with_their_worker_are_told_apart(admin, sagas):
    saga = sagas.pending()
    Hand().take()
    clock.shift(timedelta(minutes=5))
    Hand().take()

    assert "2 (1 lost with its worker)" in Page(admin.get(url_of(saga))).text


def test_a_button_stands_for_every_operation_and_says_why_it_is_not_offered(admin, sagas):
    saga = sagas.failed()

    page = Page(admin.get(url_of(saga)))
    offered = {"retry", "compensate", "skip", "edit", "abandon"}
    for name in OPERATIONS:
        is_link = f"/admin/sagas/saga/{saga.pk}/operations/{name}/" in page.links
        is_disabled = bool(page.all("button", **{"aria-describedby": f"why-not-{name}"}))
        assert is_link is (name in offered)
        assert is_disabled is (name not in offered)
        assert bool(page.all("dd", id=f"why-not-{name}")) is is_disabled
    assert "It is failed, not suspended. Retry it, or turn it back with compensate." in page.text


def test_whoever_may_only_look_sees_every_button_disabled(client, sagas, users):
    saga = sagas.failed()
    client.force_login(users.staff("view_saga"))

    page = Page(client.get(url_of(saga)))
    assert len(page.all("button", disabled="")) == len(OPERATIONS)
    assert not [link for link in page.links if "/operations/" in link]
    assert "Sam lacks the permission sagas.retry_saga." in page.text


def test_the_form_is_sealed_to_the_revision_of_a_saga_at_rest(admin, sagas, retrying):
    for saga in (sagas.failed(), sagas.suspended(), retrying):
        [field] = Page(admin.get(operation_url(saga))).all("input", name="revision")
        assert field["value"] == str(saga.revision)


def test_the_form_of_a_saga_that_moves_is_not_sealed(admin, sagas):
    due = sagas.pending()
    [field] = Page(admin.get(operation_url(due))).all("input", name="revision")
    assert "value" not in field

    Hand().take()
    [field] = Page(admin.get(operation_url(due))).all("input", name="revision")
    assert "value" not in field


def test_a_saga_of_a_definition_that_is_gone_can_still_be_read(admin, sagas, trip):
    saga = sagas.failed()
    registry.remove(trip)

    page = Page(admin.get(url_of(saga)))
    assert "No installed app has the definition samples.trip. Deploy code that has it." in page.text


def test_a_saga_that_is_not_there_is_not_found(admin):
    assert admin.get(f"/admin/sagas/saga/{uuid4()}/change/").status_code == 404
    assert admin.get("/admin/sagas/saga/7/change/").status_code == 404
    assert admin.get(f"/admin/sagas/saga/{uuid4()}/history/").status_code == 404


def test_djangos_log_of_edits_gives_way_to_the_sagas_own_history(admin, sagas):
    saga = sagas.pending()

    response = admin.get(reverse("admin:sagas_saga_history", args=[saga.pk]))
    assert response["Location"] == f"{url_of(saga)}#history"


@pytest.mark.parametrize(("codenames", "status"), [([], 403), (["retry_saga"], 403), (["view_saga"], 200)])
def test_the_page_takes_the_permission_to_view(client, sagas, users, codenames, status):
    saga = sagas.failed()
    client.force_login(users.staff(*codenames))

    assert client.get(url_of(saga)).status_code == status


class OnlyTheFirst(BaseBackend):
    """Gives every staff user the saga of order 1 to see, and no other."""

    def has_perm(self, user_obj, perm, obj=None):
        return perm == "sagas.view_saga" and getattr(obj, "key", None) == "order:1"


def test_permissions_may_be_given_for_single_sagas(client, sagas, users, settings):
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "tests.doors.test_admin_detail.OnlyTheFirst",
    ]
    first, second = sagas.failed(), sagas.failed()
    client.force_login(users.staff(), backend=settings.AUTHENTICATION_BACKENDS[0])

    assert client.get(url_of(first)).status_code == 200
    assert client.get(url_of(second)).status_code == 403


def test_the_page_costs_the_same_number_of_queries_whatever_it_shows(
    admin, define, play, django_assert_max_num_queries
):
    small = run_saga(define(step("a")), {})
    with django_assert_max_num_queries(12) as few:
        admin.get(url_of(small))

    large = run_saga(define(*(step(f"s{number}") for number in range(20)), name="samples.large"), {})
    for _ in range(30):
        HistoryEntry.objects.create(saga=large, kind="act", operation="retry", data={"a": 1})
    with django_assert_max_num_queries(len(few)):
        assert "s19" in Page(admin.get(url_of(large))).text


def test_a_long_history_shows_its_newest_part_and_leads_to_the_rest(admin, sagas, monkeypatch):
    saga = sagas.failed()
    monkeypatch.setattr(chronicle, "MOST_ENTRIES", 2)
    for reason in ("the first", "the second", "the third"):
        HistoryEntry.objects.create(saga=saga, kind="act", operation="retry", reason=reason)

    page = Page(admin.get(url_of(saga)))
    assert "the third" in page.text
    assert "the first" not in page.text
    [link] = [link for link in page.links if "before=" in link]
    older = Page(admin.get(url_of(saga) + link))
    assert "the first" in older.text
    assert "the third" not in older.text


def test_a_huge_payload_is_cut(admin, define, play):
    definition = define(step("a"))
    play.says("a", {"text": "x" * 100_000})
    saga = run_saga(definition, {})

    response = admin.get(url_of(saga))
    assert "more characters" in Page(response).text
    assert len(response.content) < 100_000
    assert payloads.MOST_SHOWN < 100_000


def test_operators_are_named_in_the_history(admin, sagas, users):
    saga = sagas.failed()
    perform(saga.pk, "retry", by=users.staff("retry_saga", username="olga"), reason="the bank is open")

    text = Page(admin.get(url_of(saga))).text
    assert "olga" in text
    assert "the bank is open" in text
    assert "failed → running" in text
