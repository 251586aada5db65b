"""Operating sagas over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from rest_framework.test import APIClient

from sagas import RetryLater
from sagas.models import HistoryEntry, Saga
from sagas.operations.catalogue import OPERATIONS, PLAIN
from sagas.operations.performing import perform
from sagas.testing import run_due, run_saga
from tests.doors.test_api_start import assert_problem, pointers
from tests.samples import STEADY, step

pytestmark = pytest.mark.django_db


def url(saga: Saga, operation: str) -> str:
    return f"/api/v1/sagas/{saga.pk}/{operation}/"


def told(saga: Saga, kind: str) -> list[HistoryEntry]:
    return list(saga.history.filter(kind=kind).exclude(actor=""))


def codename(operation: str) -> str:
    return OPERATIONS[operation].permission.removeprefix("sagas.")


NEEDED: dict[str, dict[str, Any]] = {"resolve": {"outcome": "done"}, "edit": {"input": {"amount": "2.00"}}}
"""What has to be said with an operation."""


def users_and_answers(operation: str):
    """Yield the permissions of a user, None being nobody, and the answer to a request."""
    own = codename(operation)
    yield None, 401
    yield (), 403
    yield ("view_saga",), 403
    for other in sorted({codename(name) for name in OPERATIONS} - {own}):
        yield ("view_saga", other), 403
    yield (own,), 202
    yield "root", 202


@pytest.mark.parametrize(
    ("operation", "who", "answer"), [(name, *row) for name in OPERATIONS for row in users_and_answers(name)]
)
def test_an_operation_is_for_whoever_may_and_nobody_else(sagas, users, operation, who, answer):
    saga = sagas.allowing(operation)
    saga.refresh_from_db()
    before = saga.status, saga.attention
    client = APIClient()
    if who is not None:
        client.force_authenticate(users.root() if who == "root" else users.staff(*who))

    response = client.post(url(saga, operation), NEEDED.get(operation, {}))

    assert response.status_code == answer
    assert len(told(saga, "act")) == (answer == 202)
    assert len(told(saga, "refusal")) == (answer == 403)
    saga.refresh_from_db()
    if operation in PLAIN:
        assert ((saga.status, saga.attention) != before) is (answer == 202)
    if answer == 403:
        body = assert_problem(response, 403, "permission_denied")
        assert OPERATIONS[operation].permission in body["detail"]
    elif answer == 401:
        assert_problem(response, 401, "not_authenticated")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_was_asked_is_answered_with_the_saga_and_kept_with_its_reason(api, sagas, operation):
    saga = sagas.allowing(operation)

    response = api.post(url(saga, operation), {"reason": "the bank is open", **NEEDED.get(operation, {})})

    assert response.status_code == 202
    assert response["Retry-After"] == "1"
    saga.refresh_from_db()
    assert response["ETag"] == f'"{saga.revision}"'
    assert response.json()["status"] == saga.status
    [entry] = told(saga, "act")
    assert (entry.operation, entry.actor, entry.reason) == (operation, "root", "the bank is open")


def test_what_was_asked_is_done(api, sagas):
    saga = sagas.failed()
    api.post(url(saga, "compensate"))
    run_due()

    saga.refresh_from_db()
    assert saga.status == "compensated"


def test_what_cannot_be_done_is_refused_with_the_present_state(api, sagas):
    saga = sagas.completed()

    body = assert_problem(api.post(url(saga, "retry")), 409, "invalid_state")
    assert body["current_status"] == "completed"
    assert body["current_revision"] == saga.revision
    assert "it has ended as completed" in body["detail"]
    assert body["allowed_operations"] == ["restart"]
    assert [entry.data for entry in told(saga, "refusal")] == [{"code": "invalid_state"}]


def test_if_match_seals_an_operation_to_what_was_seen(api, sagas):
    saga = sagas.failed()
    seen = api.get(f"/api/v1/sagas/{saga.pk}/")["ETag"]
    perform(saga.pk, "retry", by=None)
    perform(saga.pk, "suspend", by=None)

    body = assert_problem(
        api.post(url(saga, "compensate"), headers={"If-Match": seen}), 412, "stale_revision"
    )
    assert body["current_status"] == "suspended"
    now = f'"{body["current_revision"]}"'
    assert api.post(url(saga, "compensate"), headers={"If-Match": now}).status_code == 202


def test_if_match_may_be_any(api, sagas):
    assert api.post(url(sagas.failed(), "retry"), headers={"If-Match": "*"}).status_code == 202


@pytest.mark.parametrize("given", ["7", 'W/"7"', '"x"', '"1", "2"', '""', '"' + "9" * 30 + '"'])
def test_if_match_must_be_an_etag_of_ours(api, sagas, given):
    saga = sagas.failed()

    assert_problem(api.post(url(saga, "retry"), headers={"If-Match": given}), 400, "if_match_invalid")
    assert not told(saga, "act")


@pytest.mark.parametrize(
    ("body", "place"),
    [({"why": "x"}, "/why"), ({"reason": "x" * 1001}, "/reason"), ({"reason": {}}, "/reason"), ([1], "")],
)
def test_a_body_is_refused_field_by_field(api, sagas, body, place):
    saga = sagas.failed()

    assert pointers(assert_problem(api.post(url(saga, "retry"), body), 400, "validation_error")) == [place]
    assert not told(saga, "act")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_get_request_operates_nothing(api, sagas, operation):
    saga = sagas.allowing(operation)

    response = api.get(url(saga, operation))
    assert_problem(response, 405, "method_not_allowed")
    assert response["Allow"] == "POST, OPTIONS"
    assert not told(saga, "act")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_on_no_saga_is_not_found(api, operation):
    for saga_id in (uuid4(), "7"):
        assert_problem(api.post(f"/api/v1/sagas/{saga_id}/{operation}/"), 404, "not_found")
        assert_problem(api.get(f"/api/v1/sagas/{saga_id}/operations/{operation}/"), 404, "not_found")


def test_there_is_no_other_operation(api, sagas):
    assert api.post(url(sagas.failed(), "explode")).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_refusal_outlives_the_transaction_of_its_request(api, sagas, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    saga = sagas.completed()
    in_transaction: list[bool] = []

    def note(saga_id, *args, **options):
        in_transaction.append(connections["default"].in_atomic_block)
        return perform(saga_id, *args, **options)

    monkeypatch.setattr("sagas.api.operating.perform", note)
    assert api.post(url(saga, "retry")).status_code == 409
    assert in_transaction == [False]
    assert len(told(saga, "refusal")) == 1


@pytest.mark.parametrize(
    ("operation", "body", "place"),
    [
        ("resolve", {}, "/outcome"),
        ("resolve", {"outcome": "perhaps"}, "/outcome"),
        ("resolve", {"outcome": "done", "result": 7}, "/result"),
        ("skip", {"step": 7}, "/step"),
        ("edit", {}, "/input"),
        ("restart", {"input": []}, "/input"),
        ("retry", {"step": "pay"}, "/step"),
    ],
)
def test_arguments_are_checked(api, sagas, operation, body, place):
    saga = sagas.allowing(operation)

    assert pointers(assert_problem(api.post(url(saga, operation), body), 400, "validation_error")) == [place]
    assert not told(saga, "act")


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("skip", {"step": "fly"}),
        ("edit", {"input": {"amount": "much"}}),
        ("restart", {"input": {"colour": 1}}),
    ],
)
def test_arguments_that_do_not_fit_the_saga_are_refused(api, sagas, operation, body):
    saga = sagas.allowing(operation)

    assert_problem(api.post(url(saga, operation), body), 400, "invalid_argument")
    assert len(told(saga, "refusal")) == 1


def test_what_was_found_out_is_written_down(api, sagas):
    saga = sagas.unknown()
    api.post(url(saga, "resolve"), {"outcome": "done", "result": {"reference": "ch_1"}})
    run_due()

    saga.refresh_from_db()
    assert saga.status == "completed"
    assert saga.steps.get(name="pay").result == {"reference": "ch_1"}


@pytest.mark.parametrize("operation", ["suspend", "compensate", "cancel", "abandon"])
def test_asking_again_for_what_is_so_is_no_error(api, sagas, operation):
    saga = sagas.pending()
    first = api.post(url(saga, operation))
    second = api.post(url(saga, operation))

    assert (first.status_code, "already" in first.json()) == (202, False)
    assert (second.status_code, second.json()["already"]) == (202, True)
    assert len(told(saga, "act")) == 1


def test_asking_again_takes_the_permission_too(sagas, users):
    saga = sagas.suspended()
    client = APIClient()
    client.force_authenticate(users.staff("view_saga"))

    assert_problem(client.post(url(saga, "suspend")), 403, "permission_denied")


def test_the_initiator_does_not_approve(api, sagas):
    saga = sagas.undecided()
    Saga.objects.filter(pk=saga.pk).update(started_by="root")

    assert_problem(api.post(url(saga, "approve")), 403, "own_saga")


def test_a_saga_past_its_pivot_cannot_be_cancelled(api, define, play):
    play.says("tell", RetryLater("busy"))
    saga = run_saga(define(step("pay", pivot=True), step("tell", undo=False, retry=STEADY)), {})

    body = assert_problem(api.post(url(saga, "cancel")), 409, "past_pivot")
    assert "retry" in body["allowed_operations"]


def test_a_project_may_insist_on_a_look_and_on_reasons(api, sagas, settings):
    settings.SAGAS = settings.SAGAS | {"REQUIRE_IF_MATCH": True, "REQUIRE_REASON": ["abandon"]}
    saga = sagas.failed()
    seen = {"If-Match": api.get(f"/api/v1/sagas/{saga.pk}/")["ETag"]}

    assert_problem(api.post(url(saga, "abandon"), {"reason": " "}, headers=seen), 400, "reason_required")
    assert_problem(api.post(url(saga, "abandon"), {"reason": "lost"}), 428, "precondition_required")
    assert api.post(url(saga, "abandon"), {"reason": "lost"}, headers=seen).status_code == 202


# Which there are, and what they would do


def test_the_operations_are_listed_with_why_not(api, sagas):
    saga = sagas.failed()

    offered = {each["operation"]: each for each in api.get(url(saga, "operations")).json()}
    assert list(offered) == list(OPERATIONS)
    assert (offered["retry"]["allowed"], offered["retry"]["reason"]) == (True, "")
    assert (offered["resume"]["allowed"], offered["resume"]["code"]) == (False, "invalid_state")
    assert "Retry it" in offered["resume"]["reason"]
    assert offered["edit"]["arguments"] == ["input"]
    for each in offered.values():
        assert api.get(each["preview_url"]).status_code == 200
    assert api.post(offered["retry"]["url"]).status_code == 202


def test_a_preview_says_what_would_be_called_and_changes_nothing(api, sagas, play):
    saga = sagas.failed()
    called = list(play.calls)

    response = api.get(url(saga, "operations/compensate"))
    assert response.status_code == 200
    body = response.json()
    assert (body["allowed"], body["refusal"], body["status"]) == (True, None, "compensating")
    assert [(call["step"], call["direction"]) for call in body["calls"]] == [("book", "back")]
    assert body["revision"] == saga.revision
    saga.refresh_from_db()
    assert (saga.status, play.calls) == ("failed", called)


def test_a_preview_takes_the_arguments_of_its_operation(api, sagas):
    saga = sagas.unknown()

    body = api.get(
        url(saga, "operations/resolve"), {"outcome": "done", "step": "pay", "result": '{"reference": "x"}'}
    ).json()
    assert (body["allowed"], body["calls"]) == (True, [])


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"outcome": "perhaps"}, "outcome"),
        ({"result": "{"}, "result"),
        ({"result": "[]"}, "result"),
        ({"result": '{"a": 1e999}'}, "result"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_preview_refuses_arguments_that_mean_nothing(api, sagas, query, parameter):
    body = assert_problem(api.get(url(sagas.unknown(), "operations/resolve"), query), 400, "validation_error")
    assert [error["parameter"] for error in body["errors"]] == [parameter]


def test_a_preview_of_what_cannot_be_done_says_why(api, sagas):
    body = api.get(url(sagas.completed(), "operations/retry")).json()

    assert (body["allowed"], body["refusal"]["code"]) == (False, "invalid_state")


@pytest.mark.parametrize(
    ("codenames", "status"), [(None, 401), (("view_saga",), 403), (("compensate_saga",), 200)]
)
def test_a_preview_is_for_whoever_may_have_it_done(sagas, users, codenames, status):
    saga = sagas.failed()
    client = APIClient()
    if codenames is not None:
        client.force_authenticate(users.staff(*codenames))

    assert client.get(url(saga, "operations/compensate")).status_code == status


def test_there_is_no_preview_of_another_operation(api, sagas):
    assert_problem(api.get(url(sagas.failed(), "operations/explode")), 404, "not_found")
