"""Operations through the admin: who may, what is told, and what is written down."""

from __future__ import annotations

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse

from sagas.models import HistoryEntry, Saga
from sagas.operations.catalogue import OPERATIONS
from sagas.operations.performing import perform
from tests.doors.conftest import Sagas
from tests.doors.pages import Page

pytestmark = pytest.mark.django_db


def button(saga: Saga, operation: str) -> str:
    return reverse("admin:sagas_saga_operate", args=[saga.pk, operation])


def filled_in(saga: Saga, operation: str) -> dict[str, str]:
    """Return what an operator fills in."""
    now = {f"input-{name}": str(value) for name, value in saga.input.items()}
    needed = {
        "resolve": {"outcome": "not_done"},
        "edit": now | {"input-order_id": "another"},
        "restart": now,
        "abandon": {"confirmation": saga.key or ""},
    }
    return {"reason": "it has to be"} | needed.get(operation, {})


def press(client, saga: Saga, operation: str, **data):
    return client.post(button(saga, operation), filled_in(saga, operation) | data)


def allowing(sagas: Sagas, operation: str) -> Saga:
    return sagas.editable() if operation == "edit" else sagas.allowing(operation)


def told(response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def acts(saga: Saga, kind: str = "act") -> list[HistoryEntry]:
    return list(saga.history.filter(kind=kind, operation__in=OPERATIONS).exclude(actor=""))


def codename(operation: str) -> str:
    return OPERATIONS[operation].permission.removeprefix("sagas.")


def users_and_answers(operation: str):
    """Yield the permissions of a user, None being nobody, and what comes of pressing the button."""
    own = codename(operation)
    yield None, "login", 0, 0
    yield (), 403, 0, 0
    yield (own,), 403, 0, 0
    yield ("view_saga",), 403, 0, 1
    for other in sorted({codename(name) for name in OPERATIONS} - {own}):
        yield ("view_saga", other), 403, 0, 1
    yield ("view_saga", own), 303, 1, 0
    yield "root", 303, 1, 0


MATRIX = [(operation, *row) for operation in OPERATIONS for row in users_and_answers(operation)]


def sign_in(client, users, who) -> None:
    if who == "root":
        client.force_login(users.root())
    elif who is not None:
        client.force_login(users.staff(*who))


@pytest.mark.parametrize(("operation", "who", "answer", "done", "refused"), MATRIX)
def test_a_button_does_it_for_whoever_may_and_for_nobody_else(
    client, sagas, users, operation, who, answer, done, refused
):
    saga = allowing(sagas, operation)
    before = saga.revision
    sign_in(client, users, who)

    looked = client.get(button(saga, operation))
    assert not acts(saga), "a preview writes nothing"
    assert not acts(saga, "refusal")
    response = press(client, saga, operation)

    assert looked.status_code == (200 if answer == 303 else response.status_code)

    if answer == "login":
        assert response.status_code == 302
        assert "/login/" in response["Location"]
    else:
        assert response.status_code == answer
    assert len(acts(saga)) == done
    assert len(acts(saga, "refusal")) == refused
    saga.refresh_from_db()
    assert (saga.revision != before) is bool(done)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_get_request_operates_nothing(admin, sagas, operation):
    saga = allowing(sagas, operation)
    before = (saga.revision, saga.history.count())

    assert admin.get(button(saga, operation)).status_code == 200
    assert admin.put(button(saga, operation)).status_code == 405
    saga.refresh_from_db()
    assert (saga.revision, saga.history.count()) == before


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_button_takes_the_csrf_token(root, sagas, operation):
    saga = allowing(sagas, operation)
    client = Client(enforce_csrf_checks=True)
    client.force_login(root)

    assert press(client, saga, operation).status_code == 403
    assert not acts(saga)
    [token] = Page(client.get(button(saga, operation))).all("input", name="csrfmiddlewaretoken")[-1:]
    assert press(client, saga, operation, csrfmiddlewaretoken=token["value"]).status_code == 303
    assert acts(saga)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_was_asked_is_told_and_kept_with_its_reason(admin, sagas, operation):
    saga = allowing(sagas, operation)

    response = press(admin, saga, operation, reason="  the bank is open ", revision=saga.revision)

    assert response["Location"] == reverse("admin:sagas_saga_change", args=[saga.pk])
    page = admin.get(response["Location"])
    assert told(page) == [f"{OPERATIONS[operation].label} was requested."]
    [entry] = acts(saga)
    assert (entry.actor, entry.actor_kind, entry.reason) == ("root", "user", "the bank is open")


def test_a_stale_page_acts_on_nothing_and_is_shown_anew(admin, sagas):
    saga = sagas.failed()
    perform(saga.pk, "retry", by=None)
    perform(saga.pk, "suspend", by=None)

    response = press(admin, saga, "compensate", revision=saga.revision, reason="enough")

    assert response.status_code == 409
    assert told(response) == ["The saga changed while you were reading. Look again."]
    assert "enough" in Page(response).text
    saga.refresh_from_db()
    assert saga.status == "suspended"
    [field] = Page(response).all("input", name="revision")
    assert field["value"] == str(saga.revision)
    assert press(admin, saga, "compensate", revision=field["value"]).status_code == 303
    saga.refresh_from_db()
    assert saga.status == "compensating"


def test_a_refusal_is_told_in_the_operations_words_and_kept(admin, sagas):
    saga = sagas.completed()

    response = press(admin, saga, "retry")

    assert told(admin.get(response["Location"])) == [
        "Retry was refused for samples.trip order:1: it has ended as completed. Start a new saga instead."
    ]
    [entry] = acts(saga, "refusal")
    assert entry.data == {"code": "invalid_state"}


@pytest.mark.parametrize("data", [{"revision": "x"}, {"revision": "-1"}, {"reason": "x" * 1001}])
def test_a_form_that_was_tampered_with_acts_on_nothing(admin, sagas, data):
    saga = sagas.failed()

    response = press(admin, saga, "retry", **data)

    assert response.status_code == 200
    assert Page(response).all("ul", **{"class": "errorlist"})
    assert not acts(saga)


def test_there_is_no_other_operation_and_no_other_saga(admin, sagas):
    saga = sagas.failed()

    assert admin.post(f"/admin/sagas/saga/{saga.pk}/operations/explode/").status_code == 404
    gone = button(saga, "retry").replace(str(saga.pk)[-4:], "0000")
    assert admin.post(gone).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_refusal_outlives_the_transaction_of_its_request(client, sagas, users, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    saga = sagas.failed()
    client.force_login(users.staff("view_saga"))

    assert press(client, saga, "retry").status_code == 403
    assert [entry.data for entry in acts(saga, "refusal")] == [{"code": "permission_denied"}]
