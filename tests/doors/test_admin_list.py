"""The list of sagas."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.admin import ModelAdmin, site
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils.translation import override

from sagas import clock, start
from sagas.admin import paginator, tabs
from sagas.models import Saga, Worker
from sagas.operations.performing import perform
from tests.doors.pages import Page
from tests.samples import STEADY, OrderInput, step

pytestmark = pytest.mark.django_db

URL = "/admin/sagas/saga/"


def found(client, **query) -> list[Saga]:
    response = client.get(URL, {"tab": "all"} | query)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def test_a_row_says_what_an_operator_asks_first(admin, sagas):
    saga = sagas.failed()

    page = Page(admin.get(URL, {"tab": "all"}))
    assert page.all("code", title=str(saga.pk))
    for words in (
        str(saga.pk)[-8:],
        "samples.trip",
        "order:1",
        "✕ failed",
        "1/2",
        "pay",
        "RetryLater the bank is closed",
        "a step's attempts are used up",
    ):
        assert words in page.text
    url = reverse("admin:sagas_saga_change", args=[saga.pk])
    assert {f"{url}?_changelist_filters=tab%3Dall", f"{url}#attempts"} <= page.links


@pytest.mark.parametrize("language", ["en", "de"])
def test_checkboxes_are_those_of_djangos_admin(sagas, define, language):
    drawn = site.get_model_admin(Saga)
    with override(language):
        for key in ("plain", "<b>&"):
            saga = start(define(step("a"), name="samples.keyed"), {}, key=key)
            assert drawn.action_checkbox(saga) == ModelAdmin.action_checkbox(drawn, saga)


def test_the_newest_saga_stands_first(admin, sagas):
    older, newer = sagas.pending(), sagas.pending()

    assert found(admin) == [newer, older]


@pytest.mark.parametrize(
    ("query", "states"),
    [
        ({"status": "failed"}, {"failed"}),
        ({"status": "pending"}, {"pending"}),
        ({"status": "suspended"}, {"suspended"}),
        ({"attention": "any"}, {"failed"}),
        ({"attention": "step_exhausted"}, {"failed"}),
        ({"attention": "crash_loop"}, set()),
        ({"definition": "samples.trip"}, {"failed", "pending", "suspended"}),
        ({"definition": "samples.trip", "status": "failed"}, {"failed"}),
        ({"definition": "samples.other"}, set()),
    ],
)
def test_filters_select_by_status_attention_and_definition(admin, sagas, define, query, states):
    define(step("a"), name="samples.other")
    sagas.failed(), sagas.pending(), sagas.suspended()

    assert {saga.status for saga in found(admin, **query)} == states


def test_a_saga_is_stuck_when_it_is_due_and_nobody_moves_it(admin, sagas):
    saga = sagas.pending()
    sagas.suspended()
    assert found(admin, attention="stuck") == []

    clock.shift(timedelta(minutes=1))
    assert found(admin, attention="stuck") == [saga]


def test_definitions_to_filter_by_come_from_the_code_and_not_from_the_table(admin, sagas, define):
    define(step("a"), name="samples.never_started")

    page = Page(admin.get(URL, {"tab": "all"}))
    assert "?definition=samples.never_started&tab=all" in page.links


@pytest.mark.parametrize(
    ("words", "finds"),
    [
        ("order:17", {"order:17", "order:170"}),
        ("order:", {"order:17", "order:170"}),
        ("key:order:17", {"order:17"}),
        ("key:order:1", set()),
        ("rder", set()),
        ("definition:samples.trip", {"order:17", "order:170"}),
        ("definition:samples", set()),
        ("definition:samples.trip order:170", {"order:170"}),
        ("error:Retry", {"order:17"}),
        ("error:RetryLater key:order:170", set()),
        ("error:Nothing", set()),
        ("%", set()),
        ("18", set()),
    ],
)
def test_search_finds_key_prefixes_and_what_qualifiers_name(admin, sagas, trip, words, finds):
    sagas._number = 16
    sagas.failed()
    start(trip, {"order_id": "170"})

    assert {saga.key for saga in found(admin, q=words)} == finds


def test_search_finds_a_full_id_however_it_is_written(admin, sagas):
    saga = sagas.pending()
    sagas.pending()

    for words in (str(saga.pk), saga.pk.hex, str(saga.pk).upper(), f" {saga.pk} "):
        assert found(admin, q=words) == [saga]
    assert found(admin, q=str(uuid4())) == []


@pytest.mark.parametrize(
    "parameter", ["error__icontains", "input__card", "saga__key", "steps__name", "id__in"]
)
def test_the_address_cannot_search_what_no_index_answers(admin, sagas, parameter):
    sagas.pending()

    assert admin.get(URL, {parameter: "x"}).status_code == 400


@pytest.mark.parametrize("query", [{"p": "9999"}, {"q": "a\x00b"}, {"status": "nonsense"}, {"o": "1.2.3"}])
def test_nonsense_in_the_address_is_no_error_of_the_server(admin, sagas, query):
    sagas.pending()

    assert admin.get(URL, query).status_code in (200, 302, 400)


def test_the_list_costs_the_same_number_of_queries_whatever_its_length(
    admin, sagas, django_assert_max_num_queries
):
    for _ in range(3):
        sagas.failed()
    with django_assert_max_num_queries(8) as few:
        found(admin)
    for _ in range(30):
        sagas.failed()
    with django_assert_max_num_queries(len(few)):
        assert len(found(admin)) == 33


def test_the_list_reads_no_payload(admin, sagas, django_assert_max_num_queries):
    sagas.failed()

    with django_assert_max_num_queries(8) as queries:
        found(admin)
    assert not [query["sql"] for query in queries if '"sagas_saga"."input"' in query["sql"]]


def test_counting_ends_where_nobody_pages_further(admin, sagas, monkeypatch, django_assert_max_num_queries):
    for _ in range(5):
        sagas.pending()
    monkeypatch.setattr(paginator, "MOST", 3)
    monkeypatch.setattr(tabs, "MOST", 3)

    with django_assert_max_num_queries(8) as queries:
        page = Page(admin.get(URL, {"q": "order:"}))
    assert "3+ sagas" in page.text
    assert "3+ results" in page.text
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counts
    assert all("LIMIT" in sql for sql in counts)


def test_a_count_that_was_not_capped_is_exact(admin, sagas):
    sagas.pending()
    assert "1 saga" in Page(admin.get(URL, {"tab": "all"})).text

    sagas.pending()
    assert "2 sagas" in Page(admin.get(URL, {"tab": "all"})).text


def test_no_saga_is_added_changed_or_deleted_by_hand(admin, sagas):
    saga = sagas.pending()

    assert admin.get(f"{URL}add/").status_code == 403
    assert admin.post(f"{URL}{saga.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin.post(f"{URL}{saga.pk}/change/", {"status": "completed"}).status_code == 405
    saga.refresh_from_db()
    assert saga.status == "pending"


@pytest.mark.parametrize("model", ["saga", "sagastep", "historyentry", "worker"])
def test_each_list_takes_its_own_view_permission(client, sagas, users, model):
    sagas.failed()
    Worker.objects.create(host="here", pid=1, group=1, queue="sagas", slots=1)
    user = users.staff()
    client.force_login(user)
    url = reverse(f"admin:sagas_{model}_changelist")
    assert client.get(url).status_code == 403

    user.user_permissions.add(Permission.objects.get(codename=f"view_{model}"))
    response = client.get(url)
    assert response.status_code == 200
    [first, *_rest] = response.context["cl"].result_list
    assert client.get(reverse(f"admin:sagas_{model}_change", args=[first.pk])).status_code == 200
    assert client.get(reverse(f"admin:sagas_{model}_add")).status_code == 403


@pytest.mark.parametrize("model", ["sagastep", "historyentry"])
def test_steps_and_history_are_found_by_their_saga(admin, sagas, model):
    saga = sagas.failed()
    sagas.failed()
    url = reverse(f"admin:sagas_{model}_changelist")

    rows = admin.get(url, {"q": str(saga.pk)}).context["cl"].result_list
    assert rows
    assert {row.saga_id for row in rows} == {saga.pk}
    assert not admin.get(url, {"q": "something"}).context["cl"].result_list
    assert admin.get(url, {"saga__input__card": "4"}).status_code == 400


@pytest.mark.parametrize(
    ("model", "query"),
    [
        ("sagastep", {"status": "failed"}),
        ("historyentry", {"kind__exact": "attempt"}),
        ("historyentry", {"actor_kind": "engine", "kind__exact": "attempt"}),
        ("historyentry", {"day": "today", "kind__exact": "attempt"}),
        ("historyentry", {"day": "week", "kind__exact": "attempt"}),
    ],
)
def test_steps_and_history_are_filtered_by_what_the_code_knows(admin, sagas, model, query):
    sagas.failed(), sagas.completed()

    rows = admin.get(reverse(f"admin:sagas_{model}_changelist"), query).context["cl"].result_list
    assert len(rows) == 1


@pytest.mark.parametrize("model", ["sagastep", "historyentry"])
def test_lists_of_steps_and_history_cost_the_same_whatever_their_length(
    admin, sagas, model, django_assert_max_num_queries
):
    url = reverse(f"admin:sagas_{model}_changelist")
    sagas.failed()
    with django_assert_max_num_queries(8) as few:
        admin.get(url)
    for _ in range(10):
        sagas.failed()
    with django_assert_max_num_queries(len(few)):
        assert len(admin.get(url).context["cl"].result_list) > 10


def test_the_history_tells_who_did_what_on_which_day(admin, sagas, users):
    saga = sagas.failed()
    perform(saga.pk, "compensate", by=users.staff("compensate_saga", username="olga"), reason="too late")
    url = reverse("admin:sagas_historyentry_changelist")

    page = Page(admin.get(url, {"operation": "compensate", "day": "today"}))
    assert "olga" in page.text
    assert "too late" in page.text
    assert "olga" not in Page(admin.get(url, {"operation": "compensate", "day": "yesterday"})).text
    assert "olga" not in Page(admin.get(url, {"operation": "retry"})).text


def test_the_default_tab_is_for_those_who_can_do_something(client, admin, users, sagas):
    failed, _fine = sagas.failed(), sagas.completed()

    assert admin.get(URL)["Location"] == f"{URL}?tab=attention"
    assert list(admin.get(URL, {"tab": "attention"}).context["cl"].result_list) == [failed]
    client.force_login(users.staff("view_saga"))
    assert len(client.get(URL).context["cl"].result_list) == 2


@pytest.mark.parametrize(
    ("tab", "statuses"),
    [
        ("attention", ["failed"]),
        ("running", ["running"]),
        ("retrying", ["running"]),
        ("compensating", []),
        ("suspended", ["suspended"]),
        ("finished", ["completed"]),
        ("stuck", []),
        ("all", ["completed", "failed", "running", "suspended"]),
        ("nonsense", ["completed", "failed", "running", "suspended"]),
    ],
)
def test_a_tab_shows_its_sagas_and_how_many_they_are(admin, sagas, retrying, tab, statuses):
    sagas.failed(), sagas.completed(), sagas.suspended()

    response = admin.get(URL, {"tab": tab})

    assert sorted(saga.status for saga in response.context["cl"].result_list) == statuses
    if tab != "nonsense":
        [shown] = [each for each in response.context["tabs"] if each.is_current]
        assert shown.count == str(len(statuses))


def test_an_empty_tab_says_so_and_since_when_all_is_well(admin, sagas, play):
    sagas.completed()
    assert "No saga needs attention." in Page(admin.get(URL, {"tab": "attention"})).text
    perform(sagas.failed().pk, "retry", by=None)
    clock.shift(timedelta(hours=3))

    text = Page(admin.get(URL, {"tab": "attention"})).text
    assert "No saga needs attention. The last one halted 3 h 0 min ago." in text


def test_a_row_says_at_which_attempt_a_saga_is(admin, retrying):
    assert f"attempt 1 of {STEADY.attempts}" in Page(admin.get(URL, {"tab": "retrying"})).text


def test_a_filter_that_is_set_is_shown_and_taken_off(admin, sagas):
    sagas.failed()

    page = Page(admin.get(URL, {"tab": "all", "attention": "step_exhausted"}))
    assert "attention: a step's attempts are used up" in " ".join(page.text.split())
    assert page.all("a", title="Remove this filter") == [{"href": "?tab=all", "title": "Remove this filter"}]


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ({"created": "hour"}, 2),
        ({"created": "2020-01-01..2020-02-01"}, 0),
        ({"created": "2020-01-01.."}, 2),
        ({"created": "nonsense"}, 2),
        ({"error_class": "RetryLater"}, 1),
        ({"error_class": "Nothing"}, 0),
        ({"definition": "samples.trip", "failed_step": "pay"}, 1),
        ({"definition": "samples.trip", "failed_step": "book"}, 0),
        ({"started_by": "code"}, 0),
    ],
)
def test_more_filters(admin, sagas, query, number):
    sagas.failed(), sagas.completed()

    assert len(found(admin, **query)) == number


def test_sagas_that_nobody_takes_are_told_to_everybody(admin, sagas):
    sagas.pending()
    assert "no worker took it" not in Page(admin.get(URL, {"tab": "all"})).text

    clock.shift(timedelta(minutes=1))
    assert (
        "1 saga has been due for more than 30.0 s, and no worker took it."
        in Page(admin.get(URL, {"tab": "all"})).text
    )


@pytest.mark.parametrize(("name", "line"), [("csv", "'=2+5"), ("ndjson", '"key": "=2+5"')])
def test_an_export_holds_what_is_selected_and_no_formula(admin, define, name, line):
    definition = define(step("a"), name="samples.exported", input=OrderInput)
    saga = start(definition, {"order_id": "secret"}, key="=2+5")
    start(definition, {"order_id": "other"}, key="another")

    response = admin.post(URL, {"action": f"export_{name}", "_selected_action": [str(saga.pk)]})

    text = b"".join(response.streaming_content).decode()
    assert line in text
    assert "another" not in text
    assert "secret" not in text
    assert response["Content-Disposition"].endswith(f'.{name}"')
