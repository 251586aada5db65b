"""Who made which attempt, what it was given, and where its log is: on the page of one saga."""

from __future__ import annotations

import os
import re
import socket
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse

from sagas import HALT, PermanentFailure, RetryLater, clock, start
from sagas.admin import chronicle
from sagas.admin.fingerprints import fingerprint
from sagas.conf import saga_settings
from sagas.models import HistoryEntry, HistoryKind, InboxMessage, OutboxMessage, Saga, SagaStep, Worker
from sagas.operations.drafting import draft
from sagas.operations.holding import hold
from sagas.operations.performing import perform
from sagas.operations.selection import Selection
from sagas.testing import run_due
from tests.doors.pages import Page
from tests.engine.hands import Hand
from tests.engine.statements import statements
from tests.samples import ONCE, STEADY, OrderInput, step

pytestmark = pytest.mark.django_db

HERE = f"{socket.gethostname()}:{os.getpid()}"


def name(hand: Hand) -> str:
    return f"{HERE} {str(hand.id)[-8:]}"


def page_of(client, saga: Saga) -> Page:
    return Page(client.get(reverse("admin:sagas_saga_change", args=[saga.pk])))


def table(client, saga: Saga) -> dict[str, list[str]]:
    """Return the timeline's table: what stands in a row, by step, direction and attempt."""
    content = client.get(reverse("admin:sagas_saga_change", args=[saga.pk])).content.decode()
    found = {}
    for row in re.findall(
        r'<tr><th scope="row">([^<]*)</th><td>(Forward|Back)</td>(.*?)</tr>', content, re.I
    ):
        cells = [re.sub("<[^>]+>", "", cell) for cell in re.findall("<td>(.*?)</td>", row[2])]
        found[f"{row[0]} {row[1].lower()} {cells[0]}"] = cells[1:]
    return found


def test_the_worker_of_every_attempt_is_named(admin, define, play):
    play.says("pay", RetryLater("busy"))
    saga = start(define(step("book"), step("check"), step("pay", retry=STEADY), step("send")), {})
    first, second = Hand(), Hand()
    attempts = first.take()
    while attempts:
        attempts = first.settle(*first.call(attempts)).attempts
    clock.shift(timedelta(minutes=5))
    attempts = second.take()
    while attempts:
        attempts = second.settle(*second.call(attempts)).attempts

    assert Saga.objects.get().status == "completed"
    assert {attempt: cells[1] for attempt, cells in table(admin, saga).items()} == {
        "book forward 1": name(first),
        "check forward 1": name(first),
        "pay forward 1": name(first),
        "pay forward 2": name(second),
        "send forward 1": name(second),
    }
    assert f"Worker{name(first)}" in page_of(admin, saga).text.replace("\n", "")


def test_who_cannot_be_told_for_sure_is_not_told(admin, define, play):
    """Between two steps it was let go and taken again, and neither is told of."""
    saga = start(define(step("a"), step("b"), step("c")), {})
    first, second, third = Hand(), Hand(), Hand()
    first.settle(*first.call(first.take()), begin=False)
    clock.shift(timedelta(seconds=1))
    second.settle(*second.call(second.take()), begin=False)
    clock.shift(timedelta(seconds=1))
    third.settle(*third.call(third.take()))
    assert [cells[1] for cells in table(admin, saga).values()] == [name(first), "–", name(third)]


def test_an_attempt_under_way_is_made_by_whoever_holds_the_saga(admin, define):
    saga = start(define(step("a")), {})
    hand = Hand()
    hand.take()
    Worker.objects.create(id=hand.id, host="box", pid=7, group=7, queue="sagas", slots=1)
    assert table(admin, saga)["a forward 1"][:2] == ["running", f"box:7 {str(hand.id)[-8:]}"]


def test_a_lost_worker_and_the_one_that_took_over_are_told_apart(admin, define):
    saga = start(define(step("a")), {})
    lost, next_one = Hand(), Hand()
    lost.take()
    clock.shift(timedelta(minutes=5))
    next_one.take()

    entry = HistoryEntry.objects.get(kind=HistoryKind.TAKE_OVER)
    assert (entry.actor, entry.data["from"]) == (name(next_one), str(lost.id))
    text = page_of(admin, saga).text
    assert name(next_one) in text
    assert str(lost.id) in text


def test_what_came_late_is_told_with_the_worker_from_which_it_came(define):
    start(define(step("a")), {})
    lost, next_one = Hand(), Hand()
    late = lost.call(lost.take())
    clock.shift(timedelta(minutes=5))
    next_one.take()
    lost.settle(*late)
    assert HistoryEntry.objects.get(kind=HistoryKind.EVIDENCE).actor == name(lost)


def test_whoever_acts_is_named_as_ever(define, root):
    saga = start(define(step("a")), {})
    perform(saga.pk, "suspend", by=root)
    assert set(HistoryEntry.objects.values_list("kind", "actor")) == {("act", "root")}


@pytest.fixture
def edited(define, play, root):
    """A saga whose input was corrected between two attempts, and that was turned back at last."""
    play.says("pay", RetryLater("unknown order"), PermanentFailure("no"))
    definition = define(step("book"), step("pay", retry=ONCE), input=OrderInput, on_exhausted=HALT)
    saga = start(definition, {"order_id": "1"})
    run_due()
    perform(saga.pk, "edit", by=root, reason="a typo", input={"order_id": "2"})
    perform(saga.pk, "retry", by=root)
    run_due()
    saga.refresh_from_db()
    assert saga.status == "compensated"
    return saga


def test_what_an_attempt_was_given_has_a_fingerprint(admin, edited):
    old, new = (fingerprint(edited.input | {"order_id": number}) for number in "12")
    assert old != new
    assert re.fullmatch("[0-9a-f]{12}", old)
    assert {attempt: cells[2] for attempt, cells in table(admin, edited).items()} == {
        "book forward 1": old,
        "pay forward 1": old,
        "pay forward 2": new,
        "book back 1": old,
    }
    assert {old, new} <= set(page_of(admin, edited).texts)


def test_a_fingerprint_does_not_give_away_what_was_given(settings):
    before = fingerprint({"pin": "1234"})
    settings.SECRET_KEY = "another" * 9
    assert fingerprint({"pin": "1234"}) != before


def test_edits_are_known_on_the_pages_of_older_entries_too(admin, edited, monkeypatch):
    monkeypatch.setattr(chronicle, "MOST_ENTRIES", 2)
    url = reverse("admin:sagas_saga_change", args=[edited.pk])
    for query in ("", "?acts=1", f"?before={HistoryEntry.objects.order_by('id')[1].pk}"):
        page = Page(admin.get(url + query))
        assert {fingerprint(edited.input | {"order_id": number}) for number in "12"} <= set(page.texts), query
        assert "Edited by root" in page.text


def test_attempts_lead_to_their_logs_where_the_project_says_where(admin, edited, settings):
    assert not [link for link in page_of(admin, edited).links if "logs.example" in link]

    settings.SAGAS = settings.SAGAS | {
        "LOG_URL": "https://logs.example/?q={saga}+{key}&from={from}&to={to}",
        "TRACE_URL": "",
    }
    links = [link for link in page_of(admin, edited).links if "logs.example" in link]
    failed = HistoryEntry.objects.filter(kind=HistoryKind.ATTEMPT).earliest("id")
    key = SagaStep.objects.get(name="pay").idempotency_key
    until = (failed.at + timedelta(seconds=5)).isoformat(timespec="milliseconds")
    until = until.replace("+00:00", "Z").replace(":", "%3A")
    assert [
        link
        for link in links
        if link.startswith(f"https://logs.example/?q={edited.pk}+{key}&from=") and until in link
    ]
    assert {SagaStep.objects.get(name="book").undo_key} <= {
        found[1] for link in links if (found := re.search(r"\+([^&]+)&", link))
    }


def test_a_log_url_with_a_name_that_means_nothing_is_refused(settings):
    settings.SAGAS = settings.SAGAS | {"LOG_URL": "https://logs.example/{host}/{key}"}
    with pytest.raises(ImproperlyConfigured) as refusal:
        saga_settings()
    assert str(refusal.value) == (
        "SAGAS['LOG_URL'] has {host} in it, which stands for nothing. "
        "What stands for something is {saga}, {key}, {from}, {to}."
    )
    settings.SAGAS = {}


def test_batches_that_were_for_a_saga_are_told(admin, client, sagas, users):
    saga, other = sagas.failed(), sagas.failed()
    batch = draft("retry", Selection(ids=(saga.pk,)), by="olga", reason="the bank is open")
    draft("abandon", Selection(ids=(other.pk,)), by="olga", reason="quite another")

    page = page_of(admin, saga)
    assert reverse("admin:sagas_sagabatch_change", args=[batch.pk]) in page.links
    for words in (f"Retry {batch.pk}", "○ draft", "pending", "olga", "the bank is open"):
        assert words in page.text
    assert "quite another" not in page.text

    client.force_login(users.staff("view_saga"))
    page = page_of(client, saga)
    assert "the bank is open" in page.text
    assert not [link for link in page.links if "/sagabatch/" in link]


def test_the_page_of_a_saga_with_everything_asks_no_more_than_twelve_times(admin, define, play, root):
    """Live and held, with a lock, a hold, a parent, events with deliveries, attempts, and a batch."""
    definition = define(step("book", retry=STEADY), step("pay"), input=OrderInput, locks=["order:{order_id}"])
    play.says("book", RetryLater("busy"))
    saga = start(definition, {"order_id": "1"})
    run_due()
    parent = start(definition, {"order_id": "2"})
    Saga.objects.filter(pk=saga.pk).update(parent=parent, traceparent="")
    draft("suspend", Selection(ids=(saga.pk,)), by="olga")
    event = OutboxMessage.objects.create(
        event_id=uuid4(), topic="booked", correlation_id=saga.correlation_id, data={}
    )
    InboxMessage.objects.create(
        event_id=event.event_id, subscriber="s", topic="booked", correlation_id=saga.correlation_id
    )
    hold(definition="samples.trip", by=root, reason="lunch")
    clock.shift(timedelta(minutes=5))
    hand = Hand()
    hand.claim(only=[saga.pk])
    Worker.objects.create(id=hand.id, host="box", pid=7, group=7, queue="sagas", slots=1)

    url = reverse("admin:sagas_saga_change", args=[saga.pk])
    admin.get(url)
    with statements() as asked:
        text = Page(admin.get(url)).text
    for words in ("order:1", "box:7", "lunch", "booked", "Its parent", "Batches", "RetryLater"):
        assert words in text, words
    assert len(asked) <= 12, asked
