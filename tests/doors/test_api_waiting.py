"""Waiting for a saga to change, and following it: under ASGI, with Django's own handler."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from django.test import AsyncClient
from rest_framework.authtoken.models import Token

from sagas.api import streaming, waiting
from sagas.api.waiting import _revisions, watch
from sagas.models import Saga
from sagas.operations.performing import perform
from sagas.testing import run_due
from tests.doors.test_api_reading import url_of
from tests.doors.test_api_start import assert_problem

AGES = 60
"""Seconds that no test waits for in vain."""


@pytest.fixture
def headers(root: User) -> dict[str, str]:
    return {"Authorization": f"Token {Token.objects.create(user=root).key}"}


@pytest.fixture
def tidy() -> Iterator[None]:
    """Close the connections of the threads that looked and answered: they are to the test's database."""
    yield
    waiting._thread.submit(connections.close_all).result()
    asyncio.run(sync_to_async(connections.close_all)())


pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tidy")]


def both(*asked: Any) -> list[Any]:
    async def run() -> list[Any]:
        return list(await asyncio.gather(*asked))

    return asyncio.run(run())


async def get(saga: Saga, headers: dict[str, str], **more: str) -> Any:
    return await AsyncClient().get(url_of(saga), headers=headers | more)


async def change(saga: Saga) -> None:
    """Change a saga as soon as somebody waits for it."""
    await somebody_waits()
    await sync_to_async(perform)(saga.pk, "suspend", by=None)


async def somebody_waits() -> None:
    while not watch()._waiting:
        await asyncio.sleep(0.01)


def test_an_answer_waits_until_the_saga_changes(sagas, headers):
    saga = sagas.pending()

    response, _ = both(get(saga, headers, Prefer=f"wait={AGES}"), change(saga))
    assert (response.status_code, response.json()["status"]) == (200, "suspended")
    assert response["Preference-Applied"] == f"wait={AGES}"
    assert response["ETag"] == '"1"'


def test_a_client_may_say_what_it_has_seen(sagas, headers):
    saga = sagas.pending()
    etag = f'"{saga.revision}"'

    response, _ = both(
        get(saga, headers, **{"Prefer": f"respond-async, wait={AGES}", "If-None-Match": etag}), change(saga)
    )
    assert (response.status_code, response.json()["status"]) == (200, "suspended")


@pytest.mark.parametrize(("seen", "status"), [({}, 200), ({"If-None-Match": '"0"'}, 304)])
def test_when_the_time_is_up_the_answer_is_what_it_would_have_been(sagas, headers, seen, status):
    [response] = both(get(sagas.pending(), headers, Prefer="wait=1", **seen))

    assert response.status_code == status
    assert response["ETag"] == '"0"'


@pytest.mark.parametrize("state", ["changed", "ended"])
def test_nobody_waits_for_what_has_happened_or_never_will(sagas, headers, state):
    saga = sagas.completed() if state == "ended" else sagas.pending()
    seen = {"If-None-Match": '"999"'} if state == "changed" else {}

    [response] = both(asyncio.wait_for(get(saga, headers, Prefer=f"wait={AGES}", **seen), AGES / 2))
    assert response.status_code == 200


@pytest.mark.parametrize("prefer", ["wait=0", "wait=-1", "wait=x", "wait", "return=minimal", ""])
def test_other_preferences_are_passed_over(sagas, headers, prefer):
    [response] = both(asyncio.wait_for(get(sagas.pending(), headers, Prefer=prefer), AGES / 2))

    assert response.status_code == 200
    assert "Preference-Applied" not in response


def test_under_wsgi_nobody_waits(api, sagas):
    response = api.get(url_of(sagas.pending()), headers={"Prefer": f"wait={AGES}"})

    assert response.status_code == 200
    assert "Preference-Applied" not in response


def test_whoever_may_not_look_does_not_wait(sagas, users):
    saga = sagas.pending()
    token = Token.objects.create(user=users.staff()).key
    refused = [
        get(saga, {}, Prefer=f"wait={AGES}"),
        get(saga, {"Authorization": f"Token {token}"}, Prefer=f"wait={AGES}"),
    ]

    assert [response.status_code for response in both(*refused)] == [401, 403]


def test_many_wait_with_one_look_at_a_time(sagas, headers, monkeypatch):
    saga = sagas.pending()
    looks = []

    def look(ids: list[UUID]) -> Any:
        looks.append((threading.get_ident(), ids))
        return _revisions(ids)

    monkeypatch.setattr("sagas.api.waiting._revisions", look)
    *responses, _ = both(*(get(saga, headers, Prefer=f"wait={AGES}") for _ in range(20)), change(saga))
    assert {response.json()["status"] for response in responses} == {"suspended"}
    assert {tuple(ids) for _thread, ids in looks} == {(saga.pk,)}
    assert len({thread for thread, _ids in looks}) == 1


def test_a_look_that_fails_is_made_again(sagas, headers, monkeypatch):
    failures = iter([RuntimeError("away")])

    def look(ids: Any) -> Any:
        for failure in failures:
            raise failure
        return _revisions(ids)

    monkeypatch.setattr("sagas.api.waiting._revisions", look)
    saga = sagas.pending()
    response, _ = both(get(saga, headers, Prefer=f"wait={AGES}"), change(saga))
    assert response.json()["status"] == "suspended"


# Streams


async def stream(
    saga: Saga, headers: dict[str, str], *, until: int = 1000
) -> tuple[Any, list[dict[str, str]]]:
    """Follow a saga until its stream ends, or so many events have come."""
    response: Any = await AsyncClient().get(f"{url_of(saga)}stream/", headers=headers)
    events: list[dict[str, str]] = []
    async for chunk in response.streaming_content:
        fields = dict(line.split(": ", 1) for line in chunk.decode().strip().splitlines())
        if "event" in fields or "" in fields:
            events.append(fields)
    return response, events


def told(events: list[dict[str, str]], kind: str) -> list[Any]:
    return [json.loads(event["data"]) for event in events if event.get("event") == kind]


def test_what_happens_is_streamed_until_the_saga_has_ended(sagas, headers):
    saga = sagas.pending()

    async def act() -> None:
        await change(saga)
        await sync_to_async(perform)(saga.pk, "resume", by=None)
        await sync_to_async(run_due)()

    (response, events), _ = both(stream(saga, headers), act())
    assert response["Content-Type"] == "text/event-stream"
    assert response["Cache-Control"] == "no-cache"
    entries = list(saga.history.order_by("pk"))
    assert [event["id"] for event in events if "id" in event] == [str(entry.pk) for entry in entries]
    assert [entry["to_status"] for entry in told(events, "history")] == [each.to_status for each in entries]
    states = [state["status"] for state in told(events, "saga")]
    assert (states[0], states[-1]) == ("pending", "completed")


def test_a_client_that_comes_again_goes_on_where_it_was(sagas, headers):
    saga = sagas.failed()
    perform(saga.pk, "abandon", by=None)
    first, *rest = [str(entry.pk) for entry in saga.history.order_by("pk")]

    [(_, events)] = both(stream(saga, headers | {"Last-Event-ID": first}))
    assert [event["id"] for event in events if "id" in event] == rest


def test_a_long_history_is_streamed_in_parts(sagas, headers, monkeypatch):
    monkeypatch.setattr(streaming, "AT_ONCE", 1)
    saga = sagas.failed()
    perform(saga.pk, "abandon", by=None)

    [(_, events)] = both(stream(saga, headers))
    assert [event["id"] for event in events if "id" in event] == [
        str(entry.pk) for entry in saga.history.order_by("pk")
    ]


def test_a_silent_stream_says_that_it_lives_and_ends_in_time(sagas, headers, monkeypatch):
    monkeypatch.setattr(streaming, "PING", 0.1)
    monkeypatch.setattr(streaming, "LONGEST", 1)

    [(_, events)] = both(stream(sagas.pending(), headers))
    assert {"": "still here"} in events


def test_a_stream_of_a_saga_that_is_pruned_ends(sagas, headers):
    saga = sagas.pending()

    async def prune() -> None:
        await somebody_waits()
        await sync_to_async(Saga.objects.filter(pk=saga.pk).delete)()

    (response, _), _ = both(stream(saga, headers), prune())
    assert response.status_code == 200


def test_a_stream_takes_the_permission_to_view(sagas, users):
    saga = sagas.pending()
    token = Token.objects.create(user=users.staff()).key

    async def ask(headers: dict[str, str]) -> Any:
        return await AsyncClient().get(f"{url_of(saga)}stream/", headers=headers)

    nobody, sam = both(ask({}), ask({"Authorization": f"Token {token}"}))
    assert_problem(nobody, 401, "not_authenticated")
    assert_problem(sam, 403, "permission_denied")


def test_under_wsgi_there_is_no_stream(api, sagas):
    saga = sagas.pending()

    assert_problem(api.get(f"{url_of(saga)}stream/"), 406, "stream_unavailable")
    response = api.get(f"{url_of(saga)}stream/", headers={"Accept": "text/event-stream"})
    assert_problem(response, 406, "stream_unavailable")
