"""Handling: in order within a key, again after failures, and given up one by one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group

from sagas import Event, PermanentFailure, RetryLater, RetryPolicy, publish
from sagas.choreography import deliveries, handling
from sagas.engine.attempts import Overtaken
from sagas.models import InboxMessage
from sagas.testing import advance, run_due
from tests.engine.statements import statements
from tests.samples import ONCE, SECOND, STEADY

pytestmark = pytest.mark.django_db

LEASE = timedelta(seconds=30)


def claim(worker=None, **options):
    return deliveries.claim(worker or uuid4(), limit=500, lease=LEASE, **options)


def test_only_the_first_of_a_key_is_delivered(listener):
    listener.on("a")
    publish(*(Event("a", {"n": n}, key=key) for n in range(3) for key in ("x", "y", "")))
    taken = claim()
    found = sorted((each.event.key, each.event.data["n"]) for each in taken.deliveries)
    assert found == [("", 0), ("", 1), ("", 2), ("x", 0), ("y", 0)]
    assert claim().deliveries == []


def test_one_that_waits_for_its_next_try_holds_its_key_up_and_no_other(listener):
    listener.on("a", lambda event: _raise(RetryLater("busy")) if event.data["n"] == 0 else None, retry=STEADY)
    publish(*(Event("a", {"n": n}, key="x") for n in range(3)), Event("a", {"n": 9}, key="y"))
    run_due()
    assert [data["n"] for _name, _topic, data in listener.heard] == [0, 9]
    advance(10 * SECOND)
    assert [data["n"] for _name, _topic, data in listener.heard] == [0, 9, 0]


def test_a_poison_event_parks_its_key_for_its_subscriber_alone(listener):
    listener.on("a", lambda event: _raise(ValueError("poison")) if event.data["n"] == 0 else None, retry=ONCE)
    listener.on("a", name="tests.other")
    publish(*(Event("a", {"n": n}, key="x") for n in range(2)), Event("a", {"n": 9}, key="y"))
    run_due()
    heard = [(name, data["n"]) for name, _topic, data in listener.heard]
    assert sorted(heard) == [
        ("tests.a", 0),
        ("tests.a", 9),
        ("tests.other", 0),
        ("tests.other", 1),
        ("tests.other", 9),
    ]
    letter = InboxMessage.objects.get(status="dead")
    assert (letter.error_class, letter.error, letter.tries) == ("ValueError", "poison", 1)
    assert InboxMessage.objects.get(status="due").data == {"n": 1}


def test_the_retry_policy_says_how_often(listener):
    listener.on("a", lambda event: _raise(ValueError("no")), retry=STEADY)
    publish(Event("a"))
    run_due()
    advance(60 * SECOND)
    assert len(listener.heard) == 3
    assert InboxMessage.objects.get().status == "dead"


def test_a_handler_says_itself_when_to_try_again(listener):
    listener.on("a", lambda event: _raise(RetryLater("busy", delay=25 * SECOND)), retry=STEADY)
    publish(Event("a"))
    run_due()
    advance(24 * SECOND)
    assert len(listener.heard) == 1
    advance(2 * SECOND)
    assert len(listener.heard) == 2


def test_a_permanent_failure_is_not_tried_again(listener):
    listener.on("a", lambda event: _raise(PermanentFailure("never")))
    publish(Event("a"))
    run_due()
    assert (len(listener.heard), InboxMessage.objects.get().status) == (1, "dead")


@pytest.mark.parametrize("error", [SystemExit(), asyncio.CancelledError(), KeyboardInterrupt()])
def test_nothing_that_a_handler_raises_escapes(listener, error):
    listener.on("a", lambda event: _raise(error), retry=ONCE)
    publish(Event("a"))
    run_due()
    assert InboxMessage.objects.get().error_class == type(error).__name__


def test_a_coroutine_function_works_in_the_same_transaction(listener):
    async def handle(event):
        await Group.objects.acreate(name=event.data["name"])
        await asyncio.sleep(0)
        if event.data["name"] == "gone":
            raise PermanentFailure("no")

    listener.on_async("a", handle)
    publish(Event("a", {"name": "there"}), Event("a", {"name": "gone"}))
    run_due()
    assert [group.name for group in Group.objects.all()] == ["there"]
    assert sorted(InboxMessage.objects.values_list("status", flat=True)) == ["dead", "done"]


def test_a_circle_of_handlers_is_broken_and_the_chain_told(listener, settings):
    settings.SAGAS = settings.SAGAS | {"MAX_HOPS": 4}
    listener.on("ping", lambda event: publish(Event("pong")))
    listener.on("pong", lambda event: publish(Event("ping")))
    publish(Event("ping"))
    run_due()
    assert listener.topics == ["ping", "pong", "ping", "pong", "ping"]
    letter = InboxMessage.objects.get(status="dead")
    assert (letter.topic, letter.error_class) == ("pong", "TooManyHops")
    assert "ping → pong → ping → pong → ping → pong" in letter.error


def test_an_early_event_is_kept_until_its_handler_can_take_it(listener):
    def charge(event):
        if not Group.objects.filter(name="order").exists():
            raise RetryLater("the order is not here yet")

    listener.on("payment.asked", charge, retry=RetryPolicy(attempts=10, first_delay=SECOND, jitter=0))
    listener.on("ticket.sold", lambda event: Group.objects.create(name="order"))
    publish(Event("payment.asked", key="payment 7"))
    run_due()
    assert InboxMessage.objects.get().status == "due"
    publish(Event("ticket.sold", key="order 7"))
    advance(2 * SECOND)
    assert set(InboxMessage.objects.values_list("status", flat=True)) == {"done"}


def test_a_call_that_was_taken_over_leaves_nothing(listener):
    listener.on("a", lambda event: Group.objects.create(name="written"))
    publish(Event("a"))
    slow, quick = uuid4(), uuid4()
    [first] = claim(slow).deliveries
    deliveries.release([first], slow)
    [second] = claim(quick).deliveries
    handling.perform([second], quick)
    with pytest.raises(Overtaken):
        handling.perform([first], slow)
    assert (Group.objects.count(), InboxMessage.objects.get().status) == (1, "done")


def test_those_that_lost_their_worker_go_apart_in_ever_smaller_company(listener):
    listener.on("a")
    publish(*(Event("a", {"n": n}) for n in range(200)))
    sizes = [len(claim().deliveries)]
    for _crash in range(5):
        lose_worker()
        sizes.append(len(claim().deliveries))
        InboxMessage.objects.filter(held_by=None).delete()
    assert sizes == [200, 125, 31, 7, 1, 1]


def test_while_something_is_in_hand_none_of_them_is_taken(listener):
    listener.on("a")
    publish(Event("a", {"n": 1}))
    claim()
    lose_worker()
    publish(Event("a", {"n": 2}))
    taken = claim(alone=False)
    assert ([each.event.data["n"] for each in taken.deliveries], taken.apart) == ([2], True)


def test_one_that_kills_its_workers_is_given_up_and_the_others_are_not(listener, settings):
    settings.SAGAS = settings.SAGAS | {"CRASH_LIMIT": 2}
    listener.on("a")
    publish(Event("a", {"n": 1}, key="x"), Event("a", {"n": 2}, key="x"), Event("a", {"n": 3}))
    for _ in range(20):
        worker = uuid4()
        taken = claim(worker).deliveries
        if 1 in [each.event.data["n"] for each in taken]:
            lose_worker()
        else:
            handling.perform(taken, worker) if taken else None
    assert dict(InboxMessage.objects.values_list("data__n", "status")) == {1: "dead", 2: "due", 3: "done"}
    letter = InboxMessage.objects.get(status="dead")
    assert (letter.error_class, letter.crashes) == ("CrashLoop", 6)


def lose_worker():
    InboxMessage.objects.filter(held_by__isnull=False).update(due_at="2020-01-01T00:00Z")


@pytest.mark.parametrize("number", [1, 100])
def test_what_delivering_costs_does_not_grow(listener, number):
    listener.on("a")
    publish(*(Event("a") for _ in range(number)))
    worker = uuid4()
    with statements() as asked:
        taken = claim(worker)
    assert len(asked) == 2, asked  # Lock, and write.
    with statements() as asked:
        handling.perform(taken.deliveries, worker, trusting=True)
    assert len([each for each in asked if not each.startswith("SET CONSTRAINTS")]) == 2, asked


def _raise(error):
    raise error
