"""Batches over HTTP."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from sagas.definitions import registry
from sagas.models import HistoryEntry, SagaBatch
from sagas.operations import batches, chunks
from tests.doors.test_api_start import assert_problem, pointers

pytestmark = pytest.mark.django_db

URL = "/api/v1/batches/"
RETRY = {"operation": "retry", "filter": {"status": "failed"}, "rate": 1000}


@pytest.fixture(autouse=True)
def asked(monkeypatch) -> list[tuple[int, int]]:
    """Whom workers were asked to go on with."""
    sent: list[tuple[int, int]] = []
    for module in (batches, chunks):
        monkeypatch.setattr(module, "wake_for_batch", lambda *batch: sent.append(batch))
    return sent


def work(batch: dict) -> None:
    """Do what workers do."""
    while chunks.run(batch["id"], SagaBatch.objects.get(pk=batch["id"]).turn):
        pass


def test_a_batch_is_drafted_looked_at_and_started(api, sagas, asked, django_capture_on_commit_callbacks):
    failed = [sagas.failed(), sagas.failed()]
    response = api.post(URL, RETRY | {"reason": "the bank is open"})
    assert response.status_code == 201
    draft = response.json()
    assert response["Location"] == draft["url"]
    assert (draft["status"], draft["total"], draft["left"]) == ("draft", 2, 2)
    assert draft["selection"] == {"filter": {"status": "failed"}}
    assert [(group["definition"], group["number"]) for group in draft["groups"]] == [("samples.trip", 2)]
    assert [sample["saga"] for sample in draft["samples"]] == sorted(str(saga.pk) for saga in failed)
    assert draft["samples"][0]["calls"][0]["step"] == "pay"
    assert api.get(draft["url"]).json() == draft

    with django_capture_on_commit_callbacks(execute=True):
        response = api.post(f"{URL}{draft['id']}/start/")
    assert (response.status_code, response.json()["status"]) == (202, "running")
    assert asked == [(draft["id"], 1)]
    work(draft)
    done = api.get(draft["url"]).json()
    assert [done[name] for name in ("status", "requested", "skipped", "refused", "left")] == [
        "done",
        2,
        0,
        0,
        0,
    ]
    assert (done["samples"], done["actor"], done["log"][0]["by"]) == ([], "root", "root")
    [listed] = api.get(URL).json()["results"]
    assert listed == {name: done[name] for name in listed}


def test_a_batch_is_started_at_once_if_so_asked(api, sagas):
    saga = sagas.failed()
    response = api.post(URL, RETRY | {"start": True, "reason": "open"})
    assert (response.status_code, response.json()["status"]) == (202, "running")
    work(response.json())

    entry = HistoryEntry.objects.get(saga=saga, operation="retry")
    assert (entry.actor, entry.reason) == ("root", "open")


def test_ids_may_be_named_instead(api, sagas):
    failed, completed = sagas.failed(), sagas.completed()
    body = api.post(URL, {"operation": "retry", "ids": [str(failed.pk), str(completed.pk)]}).json()

    assert (body["total"], body["skipped"], body["selection"]) == (2, 1, {"ids": 2})
    assert [(group["status"], group["skipped"]) for group in body["groups"]] == [
        ("completed", True),
        ("failed", False),
    ]


def test_its_items_are_told_with_what_came_of_each(api, sagas):
    kept, gone = sagas.failed(), sagas.failed()
    draft = api.post(URL, RETRY).json()
    registry.remove(registry.named("samples.trip"))
    batches.start(draft["id"], by=None)
    work(draft)

    page = api.get(f"{draft['url']}items/", {"page_size": 1}).json()
    [first] = page["results"]
    [second] = api.get(page["next"]).json()["results"]
    assert {first["saga"], second["saga"]} == {str(kept.pk), str(gone.pk)}
    assert (first["state"], first["status"]) == ("refused", "failed")
    assert "no installed app has the definition" in first["message"]
    assert api.get(f"{draft['url']}items/?state=requested").json()["results"] == []
    assert len(api.get(f"{draft['url']}items/?state=refused").json()["results"]) == 2


def test_a_batch_is_suspended_and_stopped(api, sagas):
    sagas.failed()
    batch = api.post(URL, RETRY | {"start": True}).json()

    assert api.post(f"{batch['url']}suspend/").json()["status"] == "suspended"
    assert api.post(f"{batch['url']}start/").json()["status"] == "running"
    stopped = api.post(f"{batch['url']}stop/").json()
    assert (stopped["status"], stopped["skipped"]) == ("cancelled", 1)
    problem = assert_problem(api.post(f"{batch['url']}start/"), 409, "invalid_state")
    assert "it is cancelled" in problem["detail"]


def test_the_same_request_sent_twice_makes_one_batch(api, sagas):
    sagas.failed()
    key = {"Idempotency-Key": "abc"}
    first = api.post(URL, RETRY | {"start": True}, headers=key)
    again = api.post(URL, RETRY | {"start": True}, headers=key)

    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert (again["Idempotency-Replayed"], first.headers.get("Idempotency-Replayed")) == ("true", None)
    assert SagaBatch.objects.count() == 1
    work(first.json())
    assert api.post(URL, RETRY | {"start": True}, headers=key).json()["status"] == "done"
    other = api.post(URL, RETRY | {"reason": "another"}, headers=key)
    assert_problem(other, 422, "idempotency_key_reused")


def test_without_a_key_the_second_is_refused_while_the_first_runs_and_leaves_no_draft(api, sagas):
    sagas.failed()
    first = api.post(URL, RETRY | {"start": True}).json()
    problem = assert_problem(api.post(URL, RETRY | {"start": True}), 409, "batch_running")

    assert f"batch {first['id']} does the same" in problem["detail"]
    assert SagaBatch.objects.count() == 1


def test_what_changed_after_it_was_looked_at_is_not_swept_along(api, sagas):
    sagas.failed()
    early = (timezone.now() - timedelta(hours=1)).isoformat()
    assert_problem(api.post(URL, RETRY | {"cutoff_at": early}), 409, "nothing_selected")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"operation": "retry"}, 400, "empty_filter"),
        ({"operation": "retry", "filter": {}}, 400, "empty_filter"),
        (RETRY | {"ids": [str(uuid4())]}, 400, "ambiguous_selection"),
        (RETRY | {"filter": {"status": "suspended"}}, 409, "nothing_selected"),
        ({"operation": "retry", "ids": [str(uuid4())] * 6000}, 409, "nothing_selected"),
    ],
)
def test_what_selects_nothing_certain_is_refused(api, sagas, body, status, code):
    sagas.failed()
    assert_problem(api.post(URL, body), status, code)
    assert not SagaBatch.objects.exists()


def test_too_many_ids_are_refused(api, sagas, monkeypatch):
    monkeypatch.setattr("sagas.operations.selection.MOST_IDS", 1)
    body = {"operation": "retry", "ids": [str(uuid4()), str(uuid4())]}
    assert_problem(api.post(URL, body), 422, "too_many")


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({"filter": {"status": "failed"}}, ["/operation"]),
        (RETRY | {"operation": "explode"}, ["/operation"]),
        (RETRY | {"filter": {"status": "sad"}}, ["/filter/status"]),
        (RETRY | {"filter": {"input": "x"}}, ["/filter/input"]),
        (RETRY | {"filter": {"status__in": []}}, ["/filter/status__in"]),
        (RETRY | {"ids": ["17"]}, ["/ids/0"]),
        (RETRY | {"rate": 0}, ["/rate"]),
        (RETRY | {"dry_run": True}, ["/dry_run"]),
        (RETRY | {"arguments": {"step": "pay"}}, ["/arguments/step"]),
        (RETRY | {"operation": "resolve", "arguments": {}}, ["/arguments/outcome"]),
        (RETRY | {"operation": "resolve", "arguments": {"outcome": "perhaps"}}, ["/arguments/outcome"]),
    ],
)
def test_a_batch_is_refused_field_by_field(api, sagas, body, places):
    sagas.failed()
    found = pointers(assert_problem(api.post(URL, body), 400, "validation_error"))
    assert [place.rstrip("/") for place in found] == places


def test_a_project_may_want_a_reason(api, sagas, settings):
    sagas.failed()
    settings.SAGAS = settings.SAGAS | {"REQUIRE_REASON": ["retry"]}
    assert_problem(api.post(URL, RETRY), 400, "reason_required")
    assert api.post(URL, RETRY | {"reason": "open"}).status_code == 201


def test_cancel_is_another_word_for_compensate(api, sagas):
    sagas.failed()
    assert api.post(URL, RETRY | {"operation": "cancel"}).json()["operation"] == "compensate"


@pytest.mark.parametrize("pk", ["1", "none", "9" * 30, "²"])
@pytest.mark.parametrize("act", ["", "items/", "start/", "suspend/", "stop/"])
def test_a_batch_that_is_not_there_is_not_found(api, pk, act):
    ask = api.get if act in ("", "items/") else api.post
    assert_problem(ask(f"{URL}{pk}/{act}"), 404, "not_found")


@pytest.mark.parametrize(
    ("codenames", "looking", "acting"),
    [
        (None, 401, 401),
        ((), 403, 403),
        (("view_saga",), 200, 403),
        (("compensate_saga", "view_saga"), 200, 403),
        (("retry_saga",), 403, 202),
        (("retry_saga", "view_saga"), 200, 202),
    ],
)
def test_who_may_look_and_who_may_act(users, sagas, codenames, looking, acting):
    sagas.failed()
    batch = SagaBatch.objects.get(pk=draft_of("root").pk)
    client = APIClient()
    if codenames is not None:
        client.force_authenticate(users.staff(*codenames))

    for path in (URL, f"{URL}{batch.pk}/", f"{URL}{batch.pk}/items/"):
        assert client.get(path).status_code == looking
    assert client.post(URL, RETRY).status_code == (201 if acting == 202 else acting)
    for act in ("start", "suspend", "stop"):
        assert client.post(f"{URL}{batch.pk}/{act}/").status_code == acting
    assert SagaBatch.objects.get(pk=batch.pk).status == ("cancelled" if acting == 202 else "draft")


def draft_of(by: str) -> SagaBatch:
    from sagas.operations.drafting import draft
    from sagas.operations.selection import Selection

    return draft("retry", Selection(filter={"status": "failed"}), by=by)


@pytest.mark.parametrize("number", [1, 8])
def test_a_list_costs_the_same_however_long_it_is(api, sagas, number, django_assert_num_queries):
    sagas.failed()
    for _ in range(number):
        draft_of("sam")
    with django_assert_num_queries(1):
        assert len(api.get(URL).json()["results"]) == number
