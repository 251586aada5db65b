"""What another system answers at the address that a step handed out, signed with its secret."""

from __future__ import annotations

import json
import time
from functools import partial
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.core.signing import Signer
from django.test import Client

from sagas import WaitForEvent, start
from sagas.engine.callbacks import callback_to
from sagas.exceptions import DefinitionError
from sagas.models import InboxMessage, SagaFact
from sagas.operations.performing import perform
from sagas.signatures import sign
from sagas.testing import advance, make_context, run_due, run_saga
from tests.engine.test_races import at_once
from tests.samples import HOUR, OrderInput, postgresql_only, statuses, step

pytestmark = pytest.mark.django_db

BODY = b'{"by": "van"}'


def answer(callback, *, body=BODY, at=None, secret=None, tampered=None, url="", client=None, **headers):
    stamp = str(int(time.time() if at is None else at))
    signed = {
        "webhook-id": "m1",
        "webhook-timestamp": stamp,
        "webhook-signature": sign(secret or callback.secret, "m1", stamp, body),
    } | headers
    return (client or Client()).post(
        url or callback.url,
        data=body if tampered is None else tampered,
        content_type="application/json",
        headers={k: v for k, v in signed.items() if v},
    )


def facts() -> tuple[int, int]:
    return InboxMessage.objects.count(), SagaFact.objects.count()


@pytest.fixture
def shipped(define, play):
    """Start a saga that has a parcel picked up, and return it with the callback its step got."""

    def make(n: int = 1, *, pivot: bool = False):
        callbacks = []

        def ship(ctx):
            callbacks.append(ctx.callback("pickup"))
            return {"batch": f"b{n}"}

        play.says("ship", ship)
        pickup = WaitForEvent(
            "parcel.picked_up", correlate="{order_id}", timeout=HOUR, name="pickup", pivot=pivot
        )
        definition = define(
            step("ship"), pickup, step("tell", undo=not pivot), name="samples.shipped", input=OrderInput
        )
        saga = run_saga(definition, {"order_id": str(n)})
        return saga, callbacks[0]

    return make


def test_it_is_the_event_that_the_saga_waits_for(shipped, play):
    saga, callback = shipped()
    response = answer(callback)
    assert response.status_code == 202
    assert response.json()["topic"] == "parcel.picked_up"
    run_due()
    saga.refresh_from_db()
    assert saga.status == "completed"
    assert play.context("tell").results["pickup"] == {"by": "van"}


# S16


def test_it_counts_once_whatever_is_sent_again(shipped):
    saga, callback = shipped()
    now = time.time()
    assert answer(callback, at=now).status_code == 202
    before = facts()
    for again in (
        partial(answer, callback, at=now),  # What was listened in on, byte for byte.
        partial(answer, callback, at=now - 9),
        partial(answer, callback, body=b'{"by": "ship"}'),
    ):
        refused = again()
        assert (refused.status_code, refused.json()["code"]) == (401, "callback_spent")
        assert "Webhook-Signature" in refused["WWW-Authenticate"]
    assert facts() == before
    run_due()
    assert answer(callback).status_code == 401
    saga.refresh_from_db()
    assert (saga.status, saga.steps.get(name="pickup").result) == ("completed", {"by": "van"})


def test_the_secret_of_another_saga_opens_nothing(shipped):
    (saga, mine), (other, theirs) = shipped(1), shipped(2)
    assert mine.url != theirs.url
    assert answer(mine, secret=theirs.secret).status_code == 401
    assert answer(mine, url=theirs.url).status_code == 401
    assert facts() == (0, 0)
    assert answer(theirs).status_code == 202
    run_due()
    saga.refresh_from_db()
    other.refresh_from_db()
    assert (saga.status, other.status) == ("running", "completed")


@pytest.mark.parametrize(
    "wrong",
    [
        {"tampered": b'{"by": "ship"}'},
        {"tampered": b""},
        {"at": time.time() - 301},
        {"at": time.time() + 1000},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": str(int(time.time()) - 60)},
        {"webhook-id": "m2"},
        {"webhook-id": ""},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,\u00e9"},
        {"secret": "another"},
    ],
    ids=str,
)
def test_what_is_not_signed_rightly_and_just_now_changes_nothing(shipped, wrong):
    saga, callback = shipped()
    response = answer(callback, **wrong)
    assert (response.status_code, response.json()["code"]) == (401, "authentication_failed")
    assert "Webhook-Signature" in response["WWW-Authenticate"]
    run_due()
    saga.refresh_from_db()
    assert (saga.status, facts()) == ("running", (0, 0))
    assert answer(callback).status_code == 202  # And it is not spent.


@pytest.mark.parametrize("token", ["x", ":", "é:é", "W10:x", "\ud7ff", "%00", "a" * 5000])
def test_an_address_that_we_never_made_opens_nothing(shipped, token):
    _saga, callback = shipped()
    response = answer(callback, url=f"/api/v1/callbacks/{quote(token)}/")
    assert (response.status_code, response.json()["code"]) == (401, "authentication_failed")


def test_a_token_that_somebody_signed_for_something_else_opens_nothing(shipped):
    saga, callback = shipped()
    for token in (Signer().sign_object([saga.pk.hex, "pickup"]), "W10:" + Signer().signature("W10")):
        assert answer(callback, url=f"/api/v1/callbacks/{token}/").status_code == 401


def test_nobody_is_let_in_by_a_session_alone(admin, shipped):
    _saga, callback = shipped()
    assert admin.post(callback.url, {"by": "van"}, content_type="application/json").status_code == 401


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_of_two_answers_at_once_one_counts(shipped):
    _saga, callback = shipped()
    bodies = (b'{"by": "van"}', b'{"by": "ship"}')
    came_to = at_once(*(partial(answer, callback, body=body) for body in bodies))
    assert sorted(each.status_code for each in came_to) == [202, 401]
    won = next(body for body, each in zip(bodies, came_to, strict=True) if each.status_code == 202)
    assert InboxMessage.objects.get().data == json.loads(won)


# Before the wait, and after it


def test_one_that_comes_before_the_saga_waits_is_not_lost(define, play):
    def ship(ctx):
        assert answer(ctx.callback("pickup")).status_code == 202  # They are quick.

    play.says("ship", ship)
    pickup = WaitForEvent("parcel.picked_up", correlate="{first.batch}", timeout=HOUR, name="pickup")
    play.says("first", {"batch": "b7"})
    saga = run_saga(define(step("first"), step("ship"), pickup, input=OrderInput), {"order_id": "1"})
    assert saga.status == "completed"
    assert saga.steps.get(name="pickup").result == {"by": "van"}


def test_one_whose_key_cannot_be_told_yet_is_to_be_sent_again(define, play):
    pickup = WaitForEvent("parcel.picked_up", correlate="{first.batch}", timeout=HOUR, name="pickup")
    play.says("first", {"batch": "b7"})
    saga = start(define(step("first"), pickup, input=OrderInput), {"order_id": "1"})
    callback = callback_to(saga.pk, "pickup")
    refused = answer(callback)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_waiting")
    assert "first.batch" in refused.json()["detail"]
    run_due()
    assert answer(callback).status_code == 202
    run_due()
    assert statuses(saga)["pickup"] == "completed"


def test_one_that_comes_when_nothing_is_waited_for_any_more_is_refused(shipped):
    saga, callback = shipped()
    perform(saga.pk, "compensate", by="ops")
    run_due()
    response = answer(callback)
    assert (response.status_code, response.json()["code"]) == (409, "not_waiting")
    assert response.json()["current_status"] == "compensated"
    assert facts() == (0, 0)


def test_one_that_decides_and_comes_too_late_is_told_to_a_person(shipped):
    saga, callback = shipped(pivot=True)
    advance(2 * HOUR)
    assert statuses(saga)["pickup"] == "failed"
    assert answer(callback).status_code == 202
    run_due()
    saga.refresh_from_db()
    assert saga.attention == "late_event"


def test_one_to_a_saga_that_is_gone_is_not_found():
    assert answer(callback_to(uuid4(), "pickup")).status_code == 404


# What is sent


@pytest.mark.parametrize("body", [b"[1]", b'"x"', b"null", b"{", b'{"n": "\\u0000"}', b'{"n": NaN}'])
def test_what_is_no_object_that_can_be_stored_is_refused(shipped, body):
    _saga, callback = shipped()
    response = answer(callback, body=body)
    assert response.status_code == 400
    assert facts() == (0, 0)
    assert answer(callback).status_code == 202


def test_what_is_too_large_is_refused(shipped):
    _saga, callback = shipped()
    assert answer(callback, body=b'{"x": "' + b"y" * 300_000 + b'"}').status_code == 413


def test_an_empty_object_is_an_answer(shipped):
    _saga, callback = shipped()
    assert answer(callback, body=b"{}").status_code == 202


# What a step gets


def test_it_is_the_same_in_every_attempt_and_says_no_secret(shipped, settings):
    saga, callback = shipped()
    assert callback == callback_to(saga.pk, "pickup")
    assert callback.secret not in repr(callback)
    settings.SAGAS = settings.SAGAS | {"CALLBACK_BASE": "https://shop.example/"}
    assert callback_to(saga.pk, "pickup").url == f"https://shop.example{callback.url}"


def test_one_that_was_handed_out_under_the_key_before_still_opens(shipped, settings):
    _saga, callback = shipped()
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "a new one"
    assert answer(callback).status_code == 202


def test_another_secret_key_opens_nothing(shipped, settings):
    _saga, callback = shipped()
    settings.SECRET_KEY = "a new one"
    assert answer(callback).status_code == 401


@pytest.mark.parametrize(
    ("wait", "correlate", "says"),
    [
        ("other", "{order_id}", r"has no WaitForEvent 'other' to call back to\. There are: pickup\."),
        ("ship", "{order_id}", "has no WaitForEvent 'ship'"),
        ("pickup", "{ship.batch}", "asked for too early: {ship.batch} has no value"),
    ],
)
def test_a_step_is_told_what_it_cannot_have(define, play, wait, correlate, says):
    refused = []

    def ship(ctx):
        with pytest.raises(DefinitionError, match=says) as refusal:
            ctx.callback(wait)
        refused.append(refusal)

    play.says("ship", ship)
    pickup = WaitForEvent("parcel.picked_up", correlate=correlate, timeout=HOUR, name="pickup")
    start(define(step("ship"), pickup, input=OrderInput), {"order_id": "1"})
    run_due()
    assert refused


def test_a_step_that_is_called_directly_gets_one_too():
    context = make_context("ship")
    assert context.callback("pickup") == callback_to(context.saga_id, "pickup")
