"""What the pages ask of the database, whatever the number of rows."""

from __future__ import annotations

import re

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sagas import start_many
from sagas.models import Saga, Worker
from tests.doors.pages import Page
from tests.engine.hands import Hand
from tests.engine.statements import statements
from tests.samples import postgresql_only, step

pytestmark = pytest.mark.django_db

LIST = "/admin/sagas/saga/"
LARGE = "sagas_saga", "sagas_sagastep", "sagas_historyentry"
"""Tables through which no page may read from end to end."""
OF_A_FEW = (
    "sagas_saga_attention",
    "sagas_saga_retrying",
    "sagas_saga_failures",
    "sagas_saga_failed_step",
    "sagas_saga_errors",
    "sagas_history_acts",
    "sagas_history_kinds",
)
"""Partial indexes: what they hold may be looked through."""


def seed(settings, number: int) -> None:
    settings.DEBUG = True
    call_command("seed_demo", sagas=number, verbosity=0)
    settings.DEBUG = False


def pages() -> dict[str, int]:
    """Return addresses, and how many statements each may make, session and user included."""
    failed = Saga.objects.filter(status="failed").earliest("created_at")
    assert failed.key is not None
    queries = (
        "created=week",
        "started_by=nobody",
        f"q={failed.key[:12]}",
        f"error_class={failed.error_class}",
    )
    return {
        **{f"{LIST}?{query}": 8 for query in queries},
        f"{LIST}?definition={failed.definition}&failed_step={failed.current_step}": 8,
        reverse("admin:sagas_saga_change", args=[failed.pk]): 12,
        reverse("admin:sagas_saga_dashboard"): 8,
        reverse("admin:sagas_historyentry_changelist"): 8,
        reverse("admin:sagas_historyentry_changelist") + "?operation=suspend&day=week": 8,
        reverse("admin:sagas_sagastep_changelist") + "?status=failed": 8,
    }


def asked(client, url: str) -> list[str]:
    with statements() as found:
        assert client.get(url).status_code == 200, url
    return found


def reads_it_all(node: str) -> bool:
    """Say whether a node of a plan goes through a large table, or through an index of all its rows."""
    scanned = re.search(rf"(Seq|Index|Index Only) Scan (.* )?on ({'|'.join(LARGE)})\b", node)
    if scanned is None or any(index in node for index in OF_A_FEW):
        return False
    return "Seq Scan" in node or ("Filter:" in node and "Index Cond:" not in node)


def test_pages_ask_the_same_of_ten_sagas_and_of_a_thousand(admin, settings):
    admin.get(LIST)  # What Django asks a database once is not ours.
    seed(settings, 20)
    few = {url: len(asked(admin, url)) for url in pages()}
    seed(settings, 1000)

    for url, most in pages().items():
        number = len(asked(admin, url))
        assert number <= most, url
        assert number <= few.get(url, most), url


@postgresql_only
def test_no_page_reads_a_large_table_from_end_to_end(admin, settings):
    seed(settings, 200)
    found = {}
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # Or the plans are those of what autovacuum last came across.
        # Of few rows all are read soonest: what is asked is whether there is another way.
        cursor.execute("SET LOCAL enable_seqscan = off")
        for url in pages():
            if url.endswith("tab=finished"):
                continue  # Nearly all are: the newest of them are soonest found among the newest of all.
            with CaptureQueriesContext(connection) as made:
                admin.get(url)
            for sql in [query["sql"] or "" for query in made]:  # None: it is prepared.
                if not sql.lstrip("(").startswith("SELECT") or "$1" in sql:
                    continue
                cursor.execute(f"EXPLAIN {sql}")
                plan = "\n".join(line for (line,) in cursor.fetchall())
                if any(map(reads_it_all, plan.split("->"))):
                    found[url] = f"{sql}\n{plan}"
    assert found == {}


def test_the_dashboard_with_workers_at_work_asks_no_more_than_eight_times(admin, define):
    start_many(define(step("a")), [{}] * 5)
    hand = Hand()
    hand.take()
    Worker.objects.create(id=hand.id, host="box", pid=7, group=7, queue="sagas", slots=9, busy=5)
    admin.get(reverse("admin:sagas_saga_dashboard"))
    with statements() as found:
        page = Page(admin.get(reverse("admin:sagas_saga_dashboard")))
    assert len(found) <= 8, found
    sagas = [str(pk) for pk in Saga.objects.order_by("pk").values_list("pk", flat=True)]
    shown = [link for link in page.links if link.endswith("/change/")]
    assert sorted(shown) == [f"{LIST}{pk}/change/" for pk in sagas[:3]]
    assert "and others" in page.text
