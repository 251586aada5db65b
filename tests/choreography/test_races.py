"""Two at the same events at the same time, on connections of their own; and workers that are killed."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import defaultdict
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import connections, transaction
from django.db.models import F

from sagas import Event, clock, publish
from sagas.choreography import courier as couriers
from sagas.choreography import deliveries, handling
from sagas.choreography.arrivals import arrive
from sagas.choreography.courier import Courier
from sagas.engine.attempts import Overtaken
from sagas.engine.runner import Runner
from sagas.exceptions import EventClash
from sagas.models import InboxMessage, OutboxMessage, Saga
from sagas.operations.performing import perform
from sagas.testing import run_due
from tests.engine.test_races import at_once
from tests.samples import MINUTE, postgresql_only

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = timedelta(seconds=30)


def take():
    worker = uuid4()
    return worker, deliveries.claim(worker, limit=100, lease=LEASE).deliveries


def in_background(act):
    came_to: list[object] = []
    thread = threading.Thread(target=lambda: came_to.extend(at_once(act)))
    thread.start()
    return thread, came_to


@postgresql_only
def test_whoever_publishes_second_under_a_key_comes_second():
    with transaction.atomic():
        publish(Event("first", key="x"))
        thread, _ = in_background(lambda: publish(Event("second", key="x")))
        other, _ = in_background(lambda: publish(Event("elsewhere", key="y")))
        other.join(5)
        assert not other.is_alive()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(5)
    assert dict(OutboxMessage.objects.values_list("topic", "seq")) == {
        "first": 1,
        "second": 2,
        "elsewhere": 1,
    }


def test_numbers_have_no_gaps_and_no_twins_however_many_publish(listener):
    listener.on("a")
    at_once(*[lambda: [publish(Event("a", key=key)) for key in ("x", "y")]] * 10)
    for key in ("x", "y"):
        numbers = OutboxMessage.objects.filter(key=key).order_by("id").values_list("seq", flat=True)
        assert list(numbers) == list(range(1, 11))


@postgresql_only
def test_several_keys_in_one_call_do_not_wait_for_each_other_for_ever():
    came_to = at_once(
        *[
            lambda order=order: [publish(*(Event("a", key=key) for key in order)) for _ in range(20)]
            for order in ("xyz", "zyx", "yxz", "zxy")
        ]
    )
    assert not [each for each in came_to if isinstance(each, Exception)]
    assert OutboxMessage.objects.count() == 240


@postgresql_only
def test_an_event_that_arrives_many_times_at_once_is_one_event(listener):
    listener.on("a")
    event = {"id": "7", "source": "/elsewhere", "type": "a", "subject": "x", "data": {"n": 1}}
    came_to = at_once(*[lambda: arrive(event)] * 8)
    assert len({pk for pk, _already in came_to}) == 1
    assert (OutboxMessage.objects.count(), InboxMessage.objects.count()) == (1, 1)


@postgresql_only
def test_of_two_events_that_arrive_under_one_id_at_once_one_is_refused(listener):
    for topic in ("a", "b"):
        listener.on(topic)
    came_to = at_once(
        *[lambda topic=topic: arrive({"id": "7", "source": "/elsewhere", "type": topic}) for topic in "ab"]
    )
    assert [type(each) for each in came_to].count(EventClash) == 1
    assert OutboxMessage.objects.get().topic == InboxMessage.objects.get().topic


@postgresql_only
def test_workers_that_take_at_once_share_the_events(listener):
    listener.on("a")
    publish(*(Event("a") for _ in range(60)))
    taken = at_once(*[lambda: take()[1]] * 4)
    keys = [each.pk for part in taken for each in part]
    assert len(keys) == len(set(keys)) == 60


@postgresql_only
def test_the_order_of_each_key_is_kept_by_several_workers(listener):
    seen = defaultdict(list)

    def note(event):
        time.sleep(0.0005)
        seen[event.key].append(event.data["n"])

    listener.on("a", note)
    publish(*(Event("a", {"n": n}, key=f"k{n % 7}") for n in range(280)))
    both = [Courier(), Courier()]
    for courier in both:
        courier.start(uuid4())
    _wait(lambda: not InboxMessage.objects.filter(status="due").exists())
    for courier in both:
        courier.stop()
    assert {key: numbers for key, numbers in seen.items() if numbers != sorted(numbers)} == {}
    assert sum(map(len, seen.values())) == len(set(InboxMessage.objects.filter(status="done"))) == 280


@pytest.mark.usefixtures("brisk")
def test_a_runner_delivers_beside_its_sagas(listener):
    listener.on("a", lambda event: publish(Event("b", key=event.key)))
    listener.on("b")
    publish(*(Event("a", key=str(n % 10)) for n in range(100)))
    Runner(companion=Courier()).run()
    assert sorted(listener.topics) == ["a"] * 100 + ["b"] * 100
    assert set(InboxMessage.objects.values_list("subscriber", "status")) == {
        ("tests.a", "done"),
        ("tests.b", "done"),
    }


@pytest.mark.usefixtures("brisk")
def test_one_that_fails_does_not_take_its_group_with_it(listener):
    listener.on("a", lambda event: Group.objects.create(name=f"{1 // event.data['n']} {event.id}"))
    publish(*(Event("a", {"n": int(n != 30)}) for n in range(60)))
    Runner(companion=Courier()).run()
    assert Group.objects.count() == 59
    letter = InboxMessage.objects.exclude(status="done").get()
    assert (letter.status, letter.error_class, letter.held_by) == ("due", "ZeroDivisionError", None)


@postgresql_only
@pytest.mark.usefixtures("brisk")
def test_a_call_that_takes_too_long_is_given_up_and_counts_no_more(listener):
    released = threading.Event()

    def hang(event):
        Group.objects.create(name="late")
        released.wait(20)

    listener.on("a", hang, timeout=timedelta(milliseconds=300))
    listener.on("b")
    publish(Event("a"), Event("b"))
    courier = Courier()
    courier.start(uuid4())
    _wait(lambda: InboxMessage.objects.filter(topic="a", error_class="OutcomeUnknown").exists())
    assert InboxMessage.objects.get(topic="b").status == "done"
    courier.pause()
    released.set()
    courier.stop()
    _wait(lambda: courier._hand.stuck == 0)
    assert not Group.objects.exists()
    assert InboxMessage.objects.get(topic="a").status == "due"


@postgresql_only
def test_a_call_in_flight_when_its_case_is_closed_leaves_nothing(listener, choreography):
    begun, go_on = threading.Event(), threading.Event()

    def handle(event):
        Group.objects.create(name="written")
        begun.set()
        assert go_on.wait(10)
        publish(Event("next"))

    listener.on("ticket.sold", handle)
    choreography("shop.order", starts="ticket.sold", ends="next")
    publish(Event("ticket.sold"))
    worker, taken = take()
    thread, came_to = in_background(lambda: handling.perform(taken, worker))
    assert begun.wait(5)
    perform(Saga.objects.get().pk, "compensate", by="ops")
    go_on.set()
    thread.join(10)
    assert isinstance(came_to[0], Overtaken)
    assert not Group.objects.exists()
    assert not OutboxMessage.objects.filter(topic="next").exists()
    assert InboxMessage.objects.get(subscriber="tests.ticket.sold").status == "dead"


@postgresql_only
def test_what_is_being_published_when_its_case_is_closed_is_found_by_whoever_closes_it(
    listener, choreography
):
    listener.on("order.paid")
    choreography("shop.order", starts="ticket.sold", ends="order.sent")
    publish(Event("ticket.sold", correlation_id="case"))
    saga = Saga.objects.get()
    with transaction.atomic():
        publish(Event("order.paid", correlation_id="case"))
        thread, came_to = in_background(lambda: perform(saga.pk, "compensate", by="ops"))
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(5)
    assert not isinstance(came_to[0], Exception)
    assert InboxMessage.objects.get(subscriber="tests.order.paid").status == "dead"
    run_due()
    assert listener.topics == []


@postgresql_only
@pytest.mark.parametrize("when", ["before its commit", "after its commit"])
def test_an_event_takes_effect_once_although_its_worker_is_killed(listener, when):
    killed = {"yet": False}

    def handle(event):
        Group.objects.create(name=f"written by {os.getpid()}")
        publish(Event("told"))
        if when == "before its commit" and killed["yet"] is False:
            os.kill(os.getpid(), signal.SIGKILL)

    listener.on("a", handle)
    publish(Event("a"))
    status = _in_a_process(lambda: handling.perform(*reversed(take())))
    assert os.WTERMSIG(status) == signal.SIGKILL
    killed["yet"] = True
    assert Group.objects.count() == (0 if when == "before its commit" else 1)
    clock.shift(MINUTE)
    run_due()
    assert Group.objects.count() == 1
    assert OutboxMessage.objects.filter(topic="told").count() == 1
    delivery = InboxMessage.objects.get(subscriber="tests.a")
    assert (delivery.status, delivery.crashes) == ("done", int(when == "before its commit"))


def _in_a_process(act):
    """Do something in a process that is killed at the latest when it is done; return how it ended."""
    connections.close_all()
    if not (pid := os.fork()):
        try:
            act()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _wait(condition, within=15.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.usefixtures("brisk")
def test_what_waits_behind_a_call_that_hangs_is_made_by_others_and_not_twice(listener):
    released = threading.Event()
    made = []

    def ask(event):
        made.append(event.data["n"])
        if event.data["n"] == 0 and event.attempt == 1:
            released.wait(20)

    listener.on("a", ask, atomic=False, timeout=timedelta(milliseconds=300))
    publish(*(Event("a", {"n": n}) for n in range(4)))
    courier = Courier()
    courier.start(uuid4())
    _wait(lambda: InboxMessage.objects.filter(status="done").count() == 4)
    released.set()
    _wait(lambda: courier._hand.stuck == 0)
    courier.stop()
    assert sorted(made) == [0, 0, 1, 2, 3]


def test_a_call_whose_lease_is_over_is_not_made(listener):
    listener.on("a", atomic=False)
    publish(Event("a"))
    worker, taken = take()
    courier = Courier()
    courier._worker = worker
    courier._deliver(couriers.Group("tests.a", taken, lease_ends=time.monotonic()))
    assert listener.heard == []
    delivery = InboxMessage.objects.get()
    assert (delivery.status, delivery.held_by, delivery.tries, delivery.in_doubt) == ("due", None, 0, False)


def test_a_call_whose_outcome_could_not_be_written_is_not_made_again_at_once(listener, monkeypatch):
    listener.on("a", atomic=False)
    publish(Event("a", {"n": 1}), Event("a", {"n": 2}))
    worker, taken = take()

    def fail(*args):
        raise ValueError("out of order")

    monkeypatch.setattr(handling, "_settle", fail)
    courier = Courier()
    courier._worker = worker
    courier._deliver(couriers.Group("tests.a", taken, lease_ends=time.monotonic() + 30))
    assert [data for _name, _topic, data in listener.heard] == [{"n": 1}]
    made, left = InboxMessage.objects.order_by("id")
    assert (made.held_by, made.tries, left.held_by, left.tries) == (worker, 1, None, 0)


@pytest.fixture(autouse=True)
def _nothing_learnt():
    couriers._crowds.clear()


@postgresql_only
@pytest.mark.usefixtures("brisk")
def test_groups_that_lock_the_same_rows_crosswise_go_alone_from_then_on(listener):
    rows = [Group.objects.create(name=f"row {n}") for n in range(4)]

    def lock(event):
        Group.objects.filter(pk=rows[event.data["n"] % 4].pk).update(name=F("name"))
        time.sleep(0.002)

    listener.on("a", lock)
    publish(*(Event("a", {"n": random.Random(n).randrange(4)}) for n in range(150)))
    both = [Courier(), Courier()]
    for courier in both:
        courier.start(uuid4())
    _wait(lambda: not InboxMessage.objects.filter(status="due").exists(), within=25)
    for courier in both:
        courier.stop()
    assert set(InboxMessage.objects.values_list("status", flat=True)) == {"done"}


def test_after_a_deadlock_each_goes_alone_for_a_while():
    crowd = couriers.Crowd()
    for _ in range(20):
        crowd.note(0.0001)
    assert crowd.size == 200
    crowd.part()
    for _ in range(crowd.alone_for):
        assert crowd.size == 1
        crowd.note(0.0001)
    assert crowd.size == 200
