"""Batches over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from sagas.definitions import registry
from sagas.models import HistoryEntry, Saga, SagaBatch
from sagas.operations import batches, chunks
from sagas.operations.drafting import draft
from sagas.operations.selection import Selection
from tests.doors.test_api_start import assert_problem, pointers
from tests.engine.statements import statements

pytestmark = pytest.mark.django_db

URL = "/api/v1/batches/"
RETRY = {"operation": "retry", "filter": {"status": "failed"}, "rate": 1000}
START = RETRY | {"dry_run": False}


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


def drafted(**options: Any) -> dict:
    """Return a draft, as somebody makes one in the console."""
    batch = draft("retry", Selection(filter={"status": "failed"}), by="sam", **options)
    return {"id": batch.pk, "url": f"{URL}{batch.pk}/"}


def test_what_a_batch_would_be_is_said_and_nothing_is_stored(api, sagas, asked):
    failed = [sagas.failed(), sagas.failed()]
    sagas.completed()
    response = api.post(URL, RETRY)
    assert (response.status_code, response.headers.get("Location")) == (200, None)
    plan = response.json()
    assert (plan["dry_run"], plan["allowed"], plan["refusal"]) == (True, True, None)
    assert (plan["operation"], plan["total"], plan["skipped"], plan["rate"]) == ("retry", 2, 0, 1000)
    assert plan["selection"] == {"filter": {"status": "failed"}}
    assert [(group["definition"], group["number"]) for group in plan["groups"]] == [("samples.trip", 2)]
    assert [sample["saga"] for sample in plan["samples"]] == sorted(str(saga.pk) for saga in failed)
    assert plan["samples"][0]["calls"][0]["step"] == "pay"
    assert api.post(URL, RETRY | {"dry_run": True}).json() | {"cutoff_at": plan["cutoff_at"]} == plan
    assert not SagaBatch.objects.exists()
    assert not HistoryEntry.objects.filter(kind="act").exists()
    assert asked == []


def test_what_was_planned_is_what_is_done(api, sagas, asked, django_capture_on_commit_callbacks):
    sagas.failed()
    plan = api.post(URL, RETRY).json()
    late = sagas.failed()
    with django_capture_on_commit_callbacks(execute=True):
        response = api.post(URL, START | {"cutoff_at": plan["cutoff_at"], "reason": "open"})
    batch = response.json()
    assert (response.status_code, response["Location"]) == (202, batch["url"])
    assert (batch["status"], batch["cutoff_at"]) == ("running", plan["cutoff_at"])
    assert (batch["total"], batch["groups"]) == (plan["total"], plan["groups"])
    assert asked == [(batch["id"], 1)]
    work(batch)

    entry = HistoryEntry.objects.get(operation="retry")
    assert (entry.actor, entry.reason) == ("root", "open")
    assert Saga.objects.get(pk=late.pk).status == "failed"
    done = api.get(batch["url"]).json()
    assert [done[name] for name in ("status", "requested", "skipped", "refused", "left")] == [
        "done",
        1,
        0,
        0,
        0,
    ]
    assert (done["samples"], done["actor"], done["log"][0]["by"]) == ([], "root", "root")
    [listed] = api.get(URL).json()["results"]
    assert listed == {name: done[name] for name in listed}


def test_a_draft_of_the_console_is_looked_at_and_started(api, sagas):
    saga = sagas.failed()
    batch = drafted()
    shown = api.get(batch["url"]).json()
    assert (shown["status"], [sample["saga"] for sample in shown["samples"]]) == ("draft", [str(saga.pk)])
    response = api.post(f"{batch['url']}start/")
    assert (response.status_code, response.json()["status"]) == (202, "running")


def test_ids_may_be_named_instead(api, sagas):
    failed, completed = sagas.failed(), sagas.completed()
    body = api.post(URL, {"operation": "retry", "ids": [str(failed.pk), str(completed.pk)]}).json()

    assert (body["total"], body["skipped"], body["selection"]) == (2, 1, {"ids": 2})
    assert [(group["status"], group["skipped"]) for group in body["groups"]] == [
        ("completed", True),
        ("failed", False),
    ]
    assert [sample["saga"] for sample in body["samples"]] == [str(failed.pk)]


def test_a_plan_says_why_it_would_be_refused(api, sagas):
    nothing = api.post(URL, RETRY).json()
    assert (nothing["allowed"], nothing["total"]) == (False, 0)
    assert nothing["refusal"]["code"] == "nothing_selected"

    sagas.failed()
    first = api.post(URL, START).json()
    second = api.post(URL, RETRY).json()
    assert (second["allowed"], second["total"], second["refusal"]["code"]) == (False, 1, "batch_running")
    assert f"batch {first['id']} does the same" in second["refusal"]["detail"]


def test_a_plan_costs_the_same_however_many_sagas_it_is_for(api, sagas):
    costs = []
    for _ in range(2):
        for _ in range(3):
            sagas.failed()
        with statements() as asked:
            assert len(api.post(URL, RETRY).json()["samples"]) == 3
        costs.append(len(asked))
    assert costs[0] == costs[1]


def test_its_items_are_told_with_what_came_of_each(api, sagas):
    kept, gone = sagas.failed(), sagas.failed()
    batch = drafted()
    registry.remove(registry.named("samples.trip"))
    batches.start(batch["id"], by=None)
    work(batch)

    page = api.get(f"{batch['url']}items/", {"page_size": 1}).json()
    [first] = page["results"]
    [second] = api.get(page["next"]).json()["results"]
    assert {first["saga"], second["saga"]} == {str(kept.pk), str(gone.pk)}
    assert (first["state"], first["status"]) == ("refused", "failed")
    assert "no installed app has the definition" in first["message"]
    assert api.get(f"{batch['url']}items/?state=requested").json()["results"] == []
    assert len(api.get(f"{batch['url']}items/?state=refused").json()["results"]) == 2


def test_a_batch_is_suspended_and_stopped(api, sagas):
    sagas.failed()
    batch = api.post(URL, START).json()

    assert api.post(f"{batch['url']}suspend/").json()["status"] == "suspended"
    assert api.post(f"{batch['url']}resume/").json()["status"] == "running"
    assert api.post(f"{batch['url']}resume/").json()["status"] == "running"
    stopped = api.post(f"{batch['url']}stop/").json()
    assert (stopped["status"], stopped["skipped"]) == ("cancelled", 1)
    problem = assert_problem(api.post(f"{batch['url']}start/"), 409, "invalid_state")
    assert "it is cancelled" in problem["detail"]


def test_a_draft_is_started_and_not_resumed(api, sagas):
    sagas.failed()
    problem = assert_problem(api.post(f"{drafted()['url']}resume/"), 409, "invalid_state")
    assert "cannot resume: it is draft. Start it, or stop it." in problem["detail"]


def test_the_same_request_sent_twice_makes_one_batch(api, sagas):
    sagas.failed()
    key = {"Idempotency-Key": "abc"}
    first = api.post(URL, START, headers=key)
    again = api.post(URL, START, headers=key)

    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert (again["Idempotency-Replayed"], first.headers.get("Idempotency-Replayed")) == ("true", None)
    assert SagaBatch.objects.count() == 1
    work(first.json())
    assert api.post(URL, START, headers=key).json()["status"] == "done"
    other = api.post(URL, START | {"reason": "another"}, headers=key)
    assert_problem(other, 422, "idempotency_key_reused")


def test_without_a_key_the_second_is_refused_while_the_first_runs_and_leaves_no_draft(api, sagas):
    sagas.failed()
    first = api.post(URL, START).json()
    problem = assert_problem(api.post(URL, START), 409, "batch_running")

    assert f"batch {first['id']} does the same" in problem["detail"]
    assert SagaBatch.objects.count() == 1


def test_what_changed_after_it_was_looked_at_is_not_swept_along(api, sagas):
    sagas.failed()
    early = (timezone.now() - timedelta(hours=1)).isoformat()
    assert_problem(api.post(URL, START | {"cutoff_at": early}), 409, "nothing_selected")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"operation": "retry"}, 400, "empty_filter"),
        ({"operation": "retry", "filter": {}}, 400, "empty_filter"),
        (RETRY | {"ids": [str(uuid4())]}, 400, "ambiguous_selection"),
        (START | {"filter": {"status": "suspended"}}, 409, "nothing_selected"),
        ({"operation": "retry", "dry_run": False, "ids": [str(uuid4())] * 6000}, 409, "nothing_selected"),
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
        (RETRY | {"dry_run": "perhaps"}, ["/dry_run"]),
        (RETRY | {"start": True}, ["/start"]),
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
    assert api.post(URL, RETRY).status_code == 200
    assert_problem(api.post(URL, START), 400, "reason_required")
    assert api.post(URL, START | {"reason": "open"}).status_code == 202


def test_cancel_is_another_word_for_compensate(api, sagas):
    sagas.failed()
    assert api.post(URL, RETRY | {"operation": "cancel"}).json()["operation"] == "compensate"


@pytest.mark.parametrize("pk", ["1", "none", "9" * 30, "²"])
@pytest.mark.parametrize("act", ["", "items/", "start/", "resume/", "suspend/", "stop/"])
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
    assert client.post(URL, RETRY).status_code == (200 if acting == 202 else acting)
    for act in ("start", "suspend", "resume", "stop"):
        assert client.post(f"{URL}{batch.pk}/{act}/").status_code == acting
    assert SagaBatch.objects.get(pk=batch.pk).status == ("cancelled" if acting == 202 else "draft")


def draft_of(by: str) -> SagaBatch:
    return draft("retry", Selection(filter={"status": "failed"}), by=by)


@pytest.mark.parametrize("number", [1, 8])
def test_a_list_costs_the_same_however_long_it_is(api, sagas, number, django_assert_num_queries):
    sagas.failed()
    for _ in range(number):
        draft_of("sam")
    with django_assert_num_queries(1):
        assert len(api.get(URL).json()["results"]) == number
