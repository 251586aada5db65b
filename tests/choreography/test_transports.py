"""Events through message brokers outside: in memory, and in Redis and RabbitMQ where they are installed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from kombu import Connection, Queue  # type: ignore[attr-defined]

from sagas import Event, Transport, publish
from sagas.choreography import transports
from sagas.choreography.arrivals import arrive, event_from
from sagas.definitions import subscriptions
from sagas.exceptions import EventClash, NotStorable
from sagas.models import InboxMessage, OutboxMessage
from sagas.testing import run_due

pytestmark = pytest.mark.django_db

HOST = "127.0.0.1"
ABOUT = {"specversion": "1.0", "id": "17", "source": "shop", "type": "paid", "subject": "k", "data": {"n": 1}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    port = free_port()
    command = [program, "--bind", HOST, "--port", str(port), "--dir", str(tmp_path), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        url = f"redis://{HOST}:{port}/0"
        wait_for(url)
        yield url
        server.terminate()


@pytest.fixture
def rabbitmq_url() -> str:
    url = os.environ.get("RABBITMQ_URL", "")
    if not url:
        pytest.skip("RABBITMQ_URL names no RabbitMQ; docs/choreography.md says how to start one")
    return url


@pytest.fixture(params=["memory", "redis", "rabbitmq"])
def broker(request) -> str:
    """The address of a broker."""
    if request.param == "memory":
        return f"memory://{uuid4()}"
    return str(request.getfixturevalue(f"{request.param}_url"))


def wait_for(url: str) -> None:
    ends = time.monotonic() + 20
    while True:
        try:
            with Connection(url, connect_timeout=1) as connection:
                connection.connect()
            return
        except OSError:
            assert time.monotonic() < ends, f"{url} does not answer"
            time.sleep(0.1)


@pytest.fixture
def outside(settings, broker):
    """A transport that sends two topics, and brings another system's."""
    name = uuid4().hex[:8]
    transport = Transport(
        "outside",
        broker,
        sends=["order.placed", "order.paid"],
        receives=["parcel.*"],
        exchange=f"events-{name}",
        queue=f"ours-{name}",
    )
    settings.SAGAS = {**settings.SAGAS, "TRANSPORTS": [transport]}
    transports.install()
    yield transport
    settings.SAGAS = {**settings.SAGAS, "TRANSPORTS": []}
    transports.install()
    assert not [each for each in subscriptions if each.name.startswith("transport:")]


class Elsewhere:
    """Another system at the same broker."""

    def __init__(self, transport: Transport) -> None:
        self._connection = Connection(transport.url)
        self._channel = self._connection.channel()
        self._exchange = transports._exchange(transport)(self._channel)
        self._exchange.declare()
        self._queue = Queue(f"theirs-{uuid4()}", self._exchange, "order.#", auto_delete=True)(self._channel)
        self._queue.declare()

    def heard(self) -> list[dict]:
        found = []
        while (message := self._queue.get(no_ack=True, accept=None)) is not None:
            body = message.body
            found.append(json.loads(body if isinstance(body, str) else bytes(body)))
        return found

    def tells(self, topic: str, body: str) -> None:
        message = self._exchange.Message(body, content_type="application/json", content_encoding="utf-8")
        self._exchange.publish(message, routing_key=topic)


@pytest.fixture
def elsewhere(outside):
    system = Elsewhere(outside)
    yield system
    system._connection.release()


def take(transport: Transport, number: int) -> int:
    """Consume until so many events are stored, or time is up."""
    ends = time.monotonic() + 20
    return transports.consume(
        transport, until=lambda: OutboxMessage.objects.count() >= number or time.monotonic() > ends
    )


def test_what_is_published_here_is_heard_elsewhere_in_the_order_of_its_key(outside, elsewhere):
    publish(*(Event("order.placed", {"n": number}, key="7") for number in range(5)), Event("other", {}))
    run_due()

    heard = elsewhere.heard()
    assert [each["data"]["n"] for each in heard] == [0, 1, 2, 3, 4]
    stored = [str(pk) for pk in OutboxMessage.objects.order_by("id").values_list("event_id", flat=True)]
    assert [each["id"] for each in heard] == stored[:5]
    assert {(each["type"], each["subject"], each["specversion"]) for each in heard} == {
        ("order.placed", "7", "1.0")
    }
    assert set(InboxMessage.objects.exclude(subscriber="sagas").values_list("status", flat=True)) == {"done"}


def test_what_is_told_elsewhere_is_handled_here_once(outside, elsewhere, listener):
    listener.on("parcel.sent")
    transports.consume(outside, until=lambda: True)  # Its queue is there from now on.
    told = json.dumps({**ABOUT, "type": "parcel.sent"})
    elsewhere.tells("parcel.sent", told)
    elsewhere.tells("parcel.sent", told)
    elsewhere.tells("parcel.sent", "no JSON")
    elsewhere.tells("parcel.sent", json.dumps({**ABOUT, "type": "parcel.sent", "data": {"n": 2}}))
    elsewhere.tells("parcel.sent", json.dumps({**ABOUT, "type": "parcel.sent", "id": "18"}))

    take(outside, 2)
    run_due()

    assert [data for _name, _topic, data in listener.heard] == [{"n": 1}, {"n": 1}]
    assert OutboxMessage.objects.filter(headers__source="shop").count() == 2


def test_what_the_database_does_not_take_comes_again(outside, elsewhere, monkeypatch):
    transports.consume(outside, until=lambda: True)
    elsewhere.tells("parcel.sent", json.dumps({**ABOUT, "type": "parcel.sent"}))
    with monkeypatch.context() as patch:

        def fails(given: object) -> None:
            raise OSError("the database is gone")

        patch.setattr(transports, "arrive", fails)
        with pytest.raises(OSError, match="gone"):
            take(outside, 1)

    take(outside, 1)
    assert OutboxMessage.objects.get().topic == "parcel.sent"


def test_a_broker_that_is_gone_costs_a_retry_and_nothing_is_lost(settings, listener):
    gone = Transport("gone", f"redis://{HOST}:{free_port()}/0", sends=["order.placed"])
    settings.SAGAS = {**settings.SAGAS, "TRANSPORTS": [gone]}
    transports.install()
    try:
        publish(Event("order.placed", {}, key="7"))
        run_due()
    finally:
        settings.SAGAS = {**settings.SAGAS, "TRANSPORTS": []}
        transports.install()
    delivery = InboxMessage.objects.get(subscriber="transport:gone:order.placed")
    assert (delivery.status, delivery.tries) == ("due", 1)
    assert delivery.error_class


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"specversion": "0.3"}, "its specversion is '0.3'"),
        ({"id": 17}, "id must be text"),
        ({"id": ""}, "it has no id"),
        ({"type": ""}, "it has no type"),
        ({"data": [1]}, "its data must be an object"),
        ({"hops": -1}, "its hops a number"),
    ],
)
def test_what_is_no_cloud_event_is_refused(change, why):
    with pytest.raises(NotStorable, match=why):
        event_from(ABOUT | change)


def test_another_event_under_a_known_id_is_refused():
    first, already = arrive(ABOUT)
    assert (arrive(ABOUT), already) == ((first, True), False)
    with pytest.raises(EventClash, match="it is another one"):
        arrive(ABOUT | {"data": {"n": 2}})


def test_the_command_says_what_it_cannot_do(settings):
    settings.SAGAS = {**settings.SAGAS, "TRANSPORTS": [Transport("mute", "memory://", sends=["a"])]}
    with pytest.raises(CommandError, match=r"has no 'other'\. It has mute\."):
        call_command("consume_events", "other")
    with pytest.raises(CommandError, match="receives nothing"):
        call_command("consume_events", "mute")


def test_the_command_takes_events_until_its_time_is_up(outside, elsewhere, capsys):
    transports.consume(outside, until=lambda: True)
    elsewhere.tells("parcel.sent", json.dumps({**ABOUT, "type": "parcel.sent"}))

    call_command("consume_events", "outside", "--for", "1s")

    assert capsys.readouterr().out == "1 event arrived.\n"
    assert OutboxMessage.objects.get().key == "k"


def test_an_address_with_its_password_is_told_to_nobody():
    assert "secret" not in repr(Transport("a", "amqp://user:secret@host"))
