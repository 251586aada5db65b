"""Operations on many sagas through the admin: drafted, looked at, started, and followed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from sagas.admin import batch as pages
from sagas.models import BatchStatus, Saga, SagaBatch
from sagas.operations import chunks
from sagas.operations.catalogue import OPERATIONS, PLAIN
from sagas.operations.performing import perform
from tests.doors.pages import Page

pytestmark = pytest.mark.django_db

LIST = "/admin/sagas/saga/"


def select(client, operation: str, *sagas: Saga, query: str = "", **data):
    selected = [str(saga.pk) for saga in sagas]
    return client.post(LIST + query, {"action": operation, "_selected_action": selected, **data})


def page_of(batch: SagaBatch) -> str:
    return reverse("admin:sagas_sagabatch_change", args=[batch.pk])


def ask(client, batch: SagaBatch, act: str, **data):
    url = reverse("admin:sagas_sagabatch_act", args=[batch.pk, act])
    return client.post(url, {"reason": "it has to be"} | data if act == "start" else data)


def run(batch: SagaBatch) -> SagaBatch:
    batch.refresh_from_db()
    chunks.run(batch.pk, batch.turn)
    batch.refresh_from_db()
    return batch


def told(response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def codename(operation: str) -> str:
    return OPERATIONS[operation].permission.removeprefix("sagas.")


@pytest.mark.parametrize("operation", PLAIN)
def test_the_list_offers_an_action_to_whoever_may(client, sagas, users, operation):
    sagas.failed()
    client.force_login(users.staff("view_saga", codename(operation)))

    page = Page(client.get(LIST, {"tab": "all"}))
    offered = {choice["value"] for choice in page.all("option") if choice["value"]}
    mine = {name for name in PLAIN if codename(name) == codename(operation)}
    assert offered == mine | {"export_csv", "export_ndjson"}


@pytest.mark.parametrize("operation", PLAIN)
@pytest.mark.parametrize(
    "who", [None, (), ("view_saga",), ("view_saga", "other"), ("view_saga", "own"), "root"]
)
def test_an_action_drafts_for_whoever_may_and_for_nobody_else(client, sagas, users, operation, who):
    saga = sagas.allowing(operation)
    before = saga.revision
    others = {codename(name) for name in PLAIN} - {codename(operation)}
    if who == "root":
        client.force_login(users.root())
    elif who is not None:
        own = {"own": [codename(operation)], "other": sorted(others)}
        client.force_login(users.staff(*[name for each in who for name in own.get(each, [each])]))

    response = select(client, operation, saga)

    may = who == "root" or (who is not None and "own" in who)
    assert SagaBatch.objects.count() == may
    assert response.status_code == (303 if may else 403 if who == () else 302)
    saga.refresh_from_db()
    assert saga.revision == before


@pytest.mark.parametrize("act", ["start", "suspend", "stop"])
@pytest.mark.parametrize(
    ("codenames", "status"),
    [
        ((), 403),
        (("view_sagabatch",), 403),
        (("view_sagabatch", "resume_saga"), 403),
        (("view_sagabatch", "retry_saga"), 303),
    ],
)
def test_a_batch_is_for_those_who_may_do_its_operation(client, root, sagas, users, act, codenames, status):
    client.force_login(root)
    select(client, "retry", sagas.failed())
    batch = SagaBatch.objects.get()
    if act == "suspend":
        ask(client, batch, "start")
    batch.refresh_from_db()
    before = batch.status
    client.force_login(users.staff(*codenames))

    assert ask(client, batch, act).status_code == status
    batch.refresh_from_db()
    assert (batch.status != before) is (status == 303)


@pytest.mark.parametrize("act", ["start", "stop"])
def test_a_batch_is_asked_by_post_and_with_the_token(root, sagas, act):
    client = Client(enforce_csrf_checks=True)
    client.force_login(root)
    plain = Client()
    plain.force_login(root)
    select(plain, "retry", sagas.failed())
    batch = SagaBatch.objects.get()

    assert ask(client, batch, act).status_code == 403
    assert client.get(reverse("admin:sagas_sagabatch_act", args=[batch.pk, act])).status_code == 405
    batch.refresh_from_db()
    assert batch.status == BatchStatus.DRAFT


def test_the_draft_says_what_would_be_done_to_how_many_and_what_is_left_out(admin, sagas):
    chosen = [sagas.failed(), sagas.failed(), sagas.completed(), sagas.pending()]

    response = select(admin, "compensate", *chosen)

    batch = SagaBatch.objects.get()
    assert response["Location"] == page_of(batch)
    page = Page(admin.get(response["Location"]))
    assert "Compensate 3 sagas" in page.text
    assert "there is nothing to ask of them" in page.text
    assert "For example saga" in page.text
    assert "undo" in page.text
    assert all(not saga.history.filter(kind="act").exists() for saga in chosen)


def test_a_batch_runs_and_its_counters_add_up(admin, sagas):
    chosen = [sagas.failed(), sagas.failed(), sagas.completed()]
    select(admin, "retry", *chosen)
    batch = SagaBatch.objects.get()
    Saga.objects.filter(pk=chosen[1].pk).update(definition="samples.gone")

    assert ask(admin, batch, "start", reason="the bank is open").status_code == 303
    batch = run(batch)

    assert batch.status == BatchStatus.DONE
    assert (batch.requested, batch.refused, batch.skipped, batch.total) == (1, 1, 1, 3)
    [entry] = chosen[0].history.filter(kind="act")
    assert (entry.actor, entry.operation, entry.reason) == ("root", "retry", "the bank is open")
    page = Page(admin.get(page_of(batch)))
    assert "3 of 3" in page.text
    assert "samples.gone" in page.text
    refused = Page(admin.get(page_of(batch), {"state": "refused"}))
    assert "no installed app has the definition samples.gone" in refused.text


def test_a_reason_is_needed_and_of_many_sagas_their_number(admin, sagas, monkeypatch):
    monkeypatch.setattr(pages, "SMALL", 1)
    select(admin, "retry", sagas.failed(), sagas.failed())
    batch = SagaBatch.objects.get()

    assert Page(ask(admin, batch, "start", reason="", number=2)).all("ul", **{"class": "errorlist"})
    assert "It is for 2 sagas." in Page(ask(admin, batch, "start", number=3)).text
    assert "This field is required." in Page(ask(admin, batch, "start")).text
    batch.refresh_from_db()
    assert batch.status == BatchStatus.DRAFT
    assert ask(admin, batch, "start", number=2).status_code == 303


def test_what_is_sent_twice_is_one_batch(admin, sagas):
    saga = sagas.failed()
    once = "6b1f5f0e-7e8c-4f5a-9b0a-0d8e5a2f3c11"

    first = select(admin, "retry", saga, once=once)
    second = select(admin, "retry", saga, once=once)

    assert first["Location"] == second["Location"]
    assert SagaBatch.objects.count() == 1


def test_what_changed_since_the_list_was_shown_is_left_as_it_is(admin, sagas):
    saga = sagas.failed()
    page = Page(admin.get(LIST, {"tab": "all"}))
    [seen] = page.all("input", name="looked_at")
    perform(saga.pk, "retry", by=None)
    perform(saga.pk, "suspend", by=None)
    before = saga.updated_at - timedelta(seconds=1)
    assert seen["value"]

    select(admin, "compensate", saga, looked_at=before.isoformat(sep=" "))

    [item] = SagaBatch.objects.get().items.all()
    assert (item.state, item.message) == ("skipped", "It has changed since it was chosen.")


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("?tab=attention", {"order:1", "order:2"}),
        ("?tab=attention&q=order:2", {"order:2"}),
        ("?tab=all&status=suspended", {"order:4"}),
        ("?tab=finished", {"order:3"}),
        ("?tab=all&created=hour", {"order:1", "order:2", "order:3", "order:4"}),
        ("?definition=samples.trip&error_class=RetryLater", {"order:1", "order:2"}),
        ("?definition=samples.trip&failed_step=pay", {"order:1", "order:2"}),
    ],
)
def test_a_batch_is_for_all_that_the_filter_finds(admin, sagas, query, keys):
    chosen = [sagas.failed(), sagas.failed(), sagas.completed(), sagas.suspended()]

    response = select(admin, "abandon", chosen[0], query=query, select_across="1")

    assert response.status_code == 303
    found = SagaBatch.objects.get().items.values_list("saga_id", flat=True)
    assert set(Saga.objects.filter(pk__in=list(found)).values_list("key", flat=True)) == keys


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?tab=all", "an empty filter would mean every saga there is"),
        ("", "an empty filter would mean every saga there is"),
        ("?attention=stuck", "it cannot keep the filter attention=stuck"),
        ("?tab=all&q=error:Retry", "it cannot keep the filter error:Retry"),
    ],
)
def test_a_filter_that_means_everything_or_cannot_be_kept_is_refused(admin, sagas, query, sentence):
    saga = sagas.failed()
    if "stuck" in query:
        Saga.objects.filter(pk=saga.pk).update(attention="")

    response = admin.post(
        LIST + query,
        {"action": "retry", "_selected_action": [str(saga.pk)], "select_across": "1"},
        follow=True,
    )

    assert sentence in " ".join(told(response))
    assert not SagaBatch.objects.exists()


def test_the_group_of_those_that_failed_alike_is_drafted_from_the_dashboard(admin, sagas):
    chosen = [sagas.failed(), sagas.failed()]
    page = Page(admin.get(reverse("admin:sagas_saga_dashboard")))
    [fingerprint] = page.all("input", name="error_fingerprint")

    url = reverse("admin:sagas_sagabatch_draft")
    response = admin.post(url, {"operation": "retry", "error_fingerprint": fingerprint["value"]})

    batch = SagaBatch.objects.get()
    assert response["Location"] == page_of(batch)
    assert set(batch.items.values_list("saga_id", flat=True)) == {saga.pk for saga in chosen}
    assert admin.get(url).status_code == 405
    assert admin.post(url, {"operation": "explode", "error_fingerprint": "x"}).status_code == 404
    nothing = admin.post(url, {"operation": "retry", "error_fingerprint": "nothing"}, follow=True)
    assert told(nothing) == ["No batch was drafted: no saga is like that."]


def test_the_page_of_a_batch_costs_the_same_whatever_its_length(admin, sagas, django_assert_max_num_queries):
    first, *others = [sagas.failed() for _ in range(20)]
    select(admin, "retry", first)
    small = SagaBatch.objects.get()
    ask(admin, small, "start")
    run(small)
    with django_assert_max_num_queries(12) as few:
        admin.get(page_of(small))
    cost = len(few)
    select(admin, "retry", *others)
    large = SagaBatch.objects.latest("pk")
    ask(admin, large, "start")
    run(large)
    with django_assert_max_num_queries(cost):
        assert len(Page(admin.get(page_of(large))).all("tr")) > 20


def test_the_live_part_says_whether_it_has_changed_and_when_it_is_over(admin, sagas):
    select(admin, "retry", sagas.failed())
    batch = SagaBatch.objects.get()
    ask(admin, batch, "start")
    url = reverse("admin:sagas_sagabatch_live", args=[batch.pk])

    first = admin.get(url)
    assert first["X-Saga-Ended"] == "0"
    assert admin.get(url, headers={"If-None-Match": first["ETag"]}).status_code == 304
    run(batch)
    assert admin.get(url, headers={"If-None-Match": first["ETag"]})["X-Saga-Ended"] == "1"
