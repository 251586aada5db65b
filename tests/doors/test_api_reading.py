"""Following sagas over HTTP."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime

import pytest
from rest_framework.test import APIClient

from sagas import HALT, start_many
from sagas.models import Saga
from sagas.operations.performing import perform
from sagas.testing import run_saga
from tests.doors.test_api_start import assert_problem
from tests.engine.hands import Hand
from tests.samples import OrderInput, step

pytestmark = pytest.mark.django_db

URL = "/api/v1/sagas/"


def url_of(saga: Saga) -> str:
    return f"{URL}{saga.pk}/"


def listed(client, **query) -> list[str]:
    response = client.get(URL, query)
    assert response.status_code == 200
    return [saga["id"] for saga in response.json()["results"]]


def test_a_saga_is_shown_with_its_steps(api, sagas):
    saga = sagas.failed()

    assert "steps" not in api.get(url_of(saga)).json()
    response = api.get(url_of(saga), {"expand": "steps"})
    assert response.status_code == 200
    body = response.json()
    assert body["id"] == str(saga.pk)
    assert (body["status"], body["attention"], body["direction"]) == ("failed", "step_exhausted", "forward")
    assert (body["steps_done"], body["steps_total"], body["current_step"]) == (1, 2, "pay")
    assert (body["error_class"], body["error"]) == ("RetryLater", "the bank is closed")
    book, pay = body["steps"]
    assert (book["status"], book["attempts"], book["result"]) == ("completed", 1, {})
    assert (pay["status"], pay["attempts"], pay["error_class"]) == ("failed", 1, "RetryLater")
    assert pay["idempotency_key"] == str(saga.steps.get(name="pay").idempotency_key)


def test_times_are_in_utc_wherever_the_server_stands(api, sagas, settings):
    settings.TIME_ZONE = "Asia/Kathmandu"
    saga = sagas.pending()

    created = api.get(url_of(saga)).json()["created_at"]
    assert created.endswith("Z")
    saga.refresh_from_db()
    assert datetime.fromisoformat(created) == saga.created_at


def test_the_etag_tells_whether_anything_changed(api, sagas):
    saga = sagas.failed()
    etag = api.get(url_of(saga))["ETag"]
    assert etag == f'"{saga.revision}"'

    unchanged = api.get(url_of(saga), headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged["ETag"] == etag

    perform(saga.pk, "retry", by=None)
    changed = api.get(url_of(saga), headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed["ETag"] != etag


def test_a_body_changes_only_with_its_etag(api, sagas):
    saga = sagas.pending()
    Hand().take()
    before = api.get(url_of(saga))

    # A lease that is renewed is no change.
    Saga.objects.filter(pk=saga.pk).update(due_at=datetime.fromisoformat("2100-01-01T00:00:00Z"), fence=77)
    after = api.get(url_of(saga))
    assert (after["ETag"], after.json()) == (before["ETag"], before.json())


def test_whoever_follows_a_saga_at_work_is_told_when_to_ask_again(api, sagas):
    assert api.get(url_of(sagas.pending()))["Retry-After"] == "1"
    assert "Retry-After" not in api.get(url_of(sagas.completed()))
    assert "Retry-After" not in api.get(url_of(sagas.failed()))


def test_sagas_are_listed_newest_first_and_without_their_payload(api, sagas):
    older, newer = sagas.failed(), sagas.pending()

    results = api.get(URL).json()["results"]
    assert [saga["id"] for saga in results] == [str(newer.pk), str(older.pk)]
    assert not {"input", "steps"} & set(results[0])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "failed"}, ["failed"]),
        ({"status": "pending"}, ["pending"]),
        ({"attention": "any"}, ["failed"]),
        ({"attention": "step_exhausted"}, ["failed"]),
        ({"attention": "crash_loop"}, []),
        ({"definition": "samples.trip"}, ["pending", "failed"]),
        ({"definition": "samples.other"}, []),
        ({"key": "order:1"}, ["failed"]),
        ({"key": "order:"}, []),
        ({"key": "order:2", "status": "failed"}, []),
        ({"key__startswith": "order:"}, ["pending", "failed"]),
        ({"key__startswith": "rder:"}, []),
        ({"status__in": "failed,pending"}, ["pending", "failed"]),
        ({"status__in": "failed"}, ["failed"]),
        ({"error_class": "RetryLater"}, ["failed"]),
        ({"created_after": "2020-01-01T00:00:00Z"}, ["pending", "failed"]),
        ({"created_before": "2020-01-01T00:00:00Z"}, []),
        ({"updated_after": "2100-01-01T00:00:00+01:00"}, []),
        ({"ordering": "created_at"}, ["failed", "pending"]),
        ({"ordering": "-updated_at"}, ["pending", "failed"]),
    ],
)
def test_a_list_is_narrowed(api, sagas, query, expected):
    made = {"failed": sagas.failed(), "pending": sagas.pending()}

    assert listed(api, **query) == [str(made[name].pk) for name in expected]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("status=broken", "status"),
        ("attention=much", "attention"),
        ("state=failed", "state"),
        ("status=failed&status=pending", "status"),
        ("key=a%00b", "key"),
        ("definition=", "definition"),
        ("status__in=failed,broken", "status__in"),
        ("status__in=", "status__in"),
        ("created_after=soon", "created_after"),
        ("ordering=id", "ordering"),
        ("page_size=0", "page_size"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(api, sagas, query, parameter):
    body = assert_problem(api.get(f"{URL}?{query}"), 400, "validation_error")
    assert [error["parameter"] for error in body["errors"]] == [parameter]


@pytest.mark.parametrize(
    "cursor", ["nonsense!", b64encode(b"p=soon").decode(), b64encode(b"p=\x00").decode()]
)
def test_a_cursor_that_means_nothing_is_refused(api, sagas, cursor):
    body = assert_problem(api.get(URL, {"cursor": cursor}), 400, "validation_error")
    assert [error["parameter"] for error in body["errors"]] == ["cursor"]


def pages(client, **query) -> list[list[str]]:
    """Follow the links from page to page."""
    found, url = [], f"{URL}?" + "&".join(f"{name}={value}" for name, value in query.items())
    while url:
        body = client.get(url).json()
        found.append([saga["id"] for saga in body["results"]])
        url = body["next"]
        assert len(found) < 100
    return found


def test_a_long_list_comes_in_pages(api, sagas):
    made = [str(sagas.pending().pk) for _ in range(5)]

    assert pages(api, page_size=2) == [made[:2:-1], made[2:0:-1], made[:1]]


def test_sagas_of_one_moment_are_all_listed(api, trip):
    """More of them than Django REST framework's cursor counts by itself."""
    made = start_many(trip, [{"order_id": str(number)} for number in range(1300)])
    Saga.objects.update(created_at=datetime.fromisoformat("2026-01-01T00:00:00Z"))

    found = [saga_id for page in pages(api, page_size=200) for saga_id in page]
    assert len(found) == len(made)
    assert set(found) == {str(saga.pk) for saga in made}


def test_a_page_has_at_most_200_sagas_and_50_if_nobody_asks(api, trip):
    start_many(trip, [{"order_id": str(number)} for number in range(210)])

    assert len(listed(api)) == 50
    assert len(listed(api, page_size=1000)) == 200


def test_reading_costs_the_same_number_of_queries_whatever_its_length(
    api, sagas, django_assert_max_num_queries
):
    saga = sagas.failed()
    with django_assert_max_num_queries(1) as few:
        api.get(URL)
    for _ in range(20):
        sagas.pending()
    with django_assert_max_num_queries(len(few)):
        assert len(listed(api)) == 21
    with django_assert_max_num_queries(1):
        api.get(url_of(saga))
    with django_assert_max_num_queries(2):
        api.get(url_of(saga), {"expand": "steps"})
    with django_assert_max_num_queries(3):
        api.get(f"{url_of(saga)}steps/")
    with django_assert_max_num_queries(2):
        api.get(f"{url_of(saga)}history/")


@pytest.mark.parametrize(
    ("codenames", "status"),
    [(None, 401), ((), 403), (("retry_saga", "start_saga"), 403), (("view_saga",), 200)],
)
def test_reading_takes_the_permission_to_view(sagas, users, codenames, status):
    saga = sagas.failed()
    client = APIClient()
    if codenames is not None:
        client.force_authenticate(users.staff(*codenames))

    for url in (
        URL,
        url_of(saga),
        *(f"{url_of(saga)}{name}/" for name in ("steps", "history", "operations")),
    ):
        response = client.get(url)
        assert response.status_code == status
        assert (response["Content-Type"] == "application/problem+json") is (status != 200)


def test_permissions_may_be_given_for_single_sagas(sagas, users, settings):
    settings.AUTHENTICATION_BACKENDS = ["tests.doors.test_admin_detail.OnlyTheFirst"]
    first, second = sagas.failed(), sagas.failed()
    client = APIClient()
    client.force_authenticate(users.staff())

    assert client.get(url_of(first)).status_code == 200
    assert client.get(url_of(second)).status_code == 403
    assert client.get(URL).status_code == 403


def test_only_what_there_is_can_be_expanded(api, sagas):
    body = assert_problem(api.get(url_of(sagas.failed()), {"expand": "all"}), 400, "validation_error")
    assert [error["parameter"] for error in body["errors"]] == ["expand"]


def test_ordered_by_change_a_list_can_be_followed_by_its_cursor(api, sagas):
    made = {str(sagas.pending().pk) for _ in range(3)}

    found = pages(api, page_size=2, ordering="updated_at")
    assert [len(page) for page in found] == [2, 1]
    assert {saga_id for page in found for saga_id in page} == made


def test_steps_tell_of_their_attempts(api, sagas):
    saga = sagas.failed()

    response = api.get(f"{url_of(saga)}steps/")
    assert response["ETag"] == f'"{saga.revision}"'
    book, pay = response.json()
    assert (book["name"], book["attempts"], book["history"]) == ("book", 1, [])
    [told] = pay["history"]
    assert (told["kind"], told["step"], told["direction"], told["attempt"]) == (
        "attempt",
        "pay",
        "forward",
        1,
    )


def test_a_history_is_told_in_order_and_from_where_one_was(api, sagas):
    saga = sagas.failed()
    everything = [entry.pk for entry in saga.history.order_by("pk")]
    url = f"{url_of(saga)}history/"

    body = api.get(url).json()
    assert [entry["seq"] for entry in body["results"]] == everything
    assert body["next_after"] == everything[-1]
    rest = api.get(url, {"after": everything[0]}).json()
    assert [entry["seq"] for entry in rest["results"]] == everything[1:]
    assert api.get(url, {"after": everything[-1]}).json() == {"results": [], "next_after": everything[-1]}


def test_a_long_history_comes_in_parts(api, sagas, monkeypatch):
    monkeypatch.setattr("sagas.api.viewsets.MOST_TOLD", 1)
    saga = sagas.failed()
    url, after, found = f"{url_of(saga)}history/", 0, []
    while part := api.get(url, {"after": after}).json():
        if not part["results"]:
            break
        found += [entry["seq"] for entry in part["results"]]
        after = part["next_after"]

    assert found == [entry.pk for entry in saga.history.order_by("pk")]


@pytest.mark.parametrize("after", ["-1", "x", "9" * 30])
def test_a_history_begins_nowhere_else(api, sagas, after):
    response = api.get(f"{url_of(sagas.failed())}history/", {"after": after})
    assert_problem(response, 400, "validation_error")


@pytest.mark.parametrize("of", ["", "steps/", "history/", "operations/", "stream/"])
@pytest.mark.parametrize("saga_id", ["01a20d86-dd93-77f4-8eed-43d05ba264a7", "7", "0.5"])
def test_of_no_saga_nothing_is_told(api, saga_id, of):
    assert_problem(api.get(f"{URL}{saga_id}/{of}"), 404, "not_found")


def test_what_is_sensitive_is_shown_to_those_who_may_see_it(client, users, define, play):
    definition = define(
        step("pay"), name="samples.paid", input=OrderInput, sensitive=["order_id"], on_exhausted=HALT
    )
    play.says("pay", {"card": {"number": "4111"}, "reference": "r1"})
    saga = run_saga(definition, {"order_id": "secret-17"})
    perform(saga.pk, "restart", by=None, input={"order_id": "secret-18"})
    places = ["", "?expand=steps", "steps/", "history/"]
    viewer = users.staff("view_saga")
    auditor = users.staff("view_saga", "view_saga_data", username="auditor")

    def told(user) -> str:
        client.force_login(user)
        return "".join(client.get(f"/api/v1/sagas/{saga.pk}/{place}").content.decode() for place in places)

    hidden = told(viewer)
    assert "secret-17" not in hidden
    assert "4111" not in hidden
    assert '"reference":"r1"' in hidden
    seen = told(auditor)
    assert "secret-17" in seen
    assert "4111" in seen
