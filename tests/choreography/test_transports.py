"""Events through message brokers outside: in memory, and in Redis and RabbitMQ where they are installed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.utils.timezone import now
from kombu import Connection, Exchange, Queue  # type: ignore[attr-defined]
from redis import Redis, RedisError

from sagas import Event, Transport, publish
from sagas.choreography import transports
from sagas.choreography.arrivals import arrive, event_from
from sagas.choreography.brokers import library
from sagas.choreography.streams import matches
from sagas.definitions import subscriptions
from sagas.exceptions import EventClash, NotStorable
from sagas.models import InboxMessage, OutboxMessage
from sagas.testing import advance, run_due
from tests.samples import MINUTE

pytestmark = pytest.mark.django_db

HOST = "127.0.0.1"
ABOUT = {"specversion": "1.0", "id": "17", "source": "shop", "type": "paid", "subject": "k", "data": {"n": 1}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    command = [program, "--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        wait_for(f"redis://{HOST}:{port}/0")
        yield f"{HOST}:{port}/0"
        server.terminate()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    return f"redis://{redis_server}"


@pytest.fixture
def streams_url(redis_server: str) -> str:
    return f"redis+streams://{redis_server}"


@pytest.fixture
def rabbitmq_url() -> str:
    url = os.environ.get("RABBITMQ_URL", "")
    if not url:
        pytest.skip("RABBITMQ_URL names no RabbitMQ; docs/choreography.md says how to start one")
    return url


@pytest.fixture(params=["memory", "redis", "streams", "rabbitmq"])
def broker(request) -> str:
    """The address of a broker."""
    if request.param == "memory":
        return f"memory://{uuid4()}"
    return str(request.getfixturevalue(f"{request.param}_url"))


def wait_for(url: str) -> None:
    ends = time.monotonic() + 20
    with Redis.from_url(url, retry=None) as server:
        while True:
            try:
                server.ping()
            except RedisError:
                assert time.monotonic() < ends, f"{url} does not answer"
                time.sleep(0.02)
            else:
                return


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
        self._exchange = Exchange(transport.exchange, type="topic")(self._channel)
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

    def leaves(self) -> None:
        self._connection.release()


class ElsewhereInStreams:
    """Another system that reads and writes the same stream."""

    def __init__(self, transport: Transport) -> None:
        self._stream = transport.exchange
        self._redis: Any = Redis.from_url(transport.url.replace("+streams", ""))

    def heard(self) -> list[dict]:
        return [json.loads(fields[b"event"]) for _id, fields in self._redis.xrange(self._stream)]

    def tells(self, topic: str, body: str) -> None:
        self._redis.xadd(self._stream, {"event": body})

    def leaves(self) -> None:
        self._redis.close()


@pytest.fixture
def elsewhere(outside):
    kind = ElsewhereInStreams if outside.url.startswith("redis+streams") else Elsewhere
    system = kind(outside)
    yield system
    system.leaves()


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
    elsewhere.tells("parcel.sent", "[" * 100_000)
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


@pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)
def test_what_rabbitmq_does_not_confirm_is_sent_again(outside):
    with Connection(outside.url) as connection:
        exchange = Exchange(outside.exchange, type="topic")
        full = Queue(
            f"full-{uuid4()}",
            exchange,
            "order.#",
            auto_delete=True,
            max_length=1,
            queue_arguments={"x-overflow": "reject-publish"},
        )(connection)
        full.declare()
        publish(Event("order.placed", {"n": 1}, key="7"), Event("order.placed", {"n": 2}, key="7"))
        run_due()

        refused = InboxMessage.objects.get(seq=2, subscriber__startswith="transport:")
        assert (refused.status, refused.error_class) == ("due", "MessageNacked")
        full.get(no_ack=True, accept=None)
        advance(MINUTE)
        assert json.loads(full.get(no_ack=True, accept=None).body)["data"] == {"n": 2}


@pytest.mark.parametrize("scheme", ["amqp", "redis+streams"])
def test_a_broker_that_is_gone_costs_a_retry_and_nothing_is_lost(settings, listener, scheme):
    gone = Transport("gone", f"{scheme}://{HOST}:{free_port()}/", sends=["order.placed"])
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


@pytest.mark.parametrize("broker", ["memory"], indirect=True)
def test_the_command_takes_events_until_its_time_is_up(outside, elsewhere, capsys):
    transports.consume(outside, until=lambda: True)
    elsewhere.tells("parcel.sent", json.dumps({**ABOUT, "type": "parcel.sent"}))

    call_command("consume_events", "outside", "--for", "1s")

    assert capsys.readouterr().out == "1 event arrived.\n"
    assert OutboxMessage.objects.get().key == "k"


def test_an_address_with_its_password_is_told_to_nobody():
    assert "secret" not in repr(Transport("a", "amqp://user:secret@host"))


@pytest.fixture
def stream(redis_server):
    """A stream, its group, and a client to look with."""
    stream = Transport(
        "log", f"redis+streams://{redis_server}", receives=["parcel.*"], exchange=uuid4().hex, queue="ours"
    )
    with Redis.from_url(f"redis://{redis_server}") as client:
        transports.consume(stream, until=lambda: True)
        yield stream, client


def told(number: int, **changes: Any) -> dict[Any, Any]:
    return {"event": json.dumps({**ABOUT, "type": "parcel.sent", "id": str(number), **changes})}


def test_what_a_dead_consumer_had_in_hand_goes_to_the_next(stream, monkeypatch):
    transport, client = stream
    client.xadd(transport.exchange, told(1))
    assert client.xreadgroup("ours", "dead", {transport.exchange: ">"})
    client.xadd(transport.exchange, told(2))

    monkeypatch.setattr("sagas.choreography.streams.GIVEN_UP_AFTER", timedelta(0))
    assert take(transport, 2) == 2

    assert client.xpending(transport.exchange, "ours")["pending"] == 0
    assert OutboxMessage.objects.count() == 2


def test_what_is_refused_is_put_aside_and_what_is_not_received_is_passed_over(stream):
    transport, client = stream
    client.xadd(transport.exchange, {"something": "else"})
    client.xadd(transport.exchange, told(1, specversion="0.3"))
    client.xadd(transport.exchange, told(2, type="order.placed"))
    client.xadd(transport.exchange, told(3))

    assert take(transport, 1) == 1

    aside = client.xrange(f"{transport.exchange}:refused:ours")
    assert [fields[b"event"] for _id, fields in aside] == [b"", told(1, specversion="0.3")["event"].encode()]
    assert OutboxMessage.objects.get().topic == "parcel.sent"
    assert client.xpending(transport.exchange, "ours")["pending"] == 0
    assert [each["name"] for each in client.xinfo_consumers(transport.exchange, "ours")] == []


def test_a_stream_keeps_what_it_is_told_to(redis_server):
    short = Transport("short", f"redis+streams://{redis_server}", exchange=uuid4().hex, keep=100)
    broker = transports.broker_of(short)
    for _ in range(300):
        broker.send(Event("parcel.sent", {}, id=uuid4(), time=now()))
    broker.close()
    with Redis.from_url(f"redis://{redis_server}") as client:
        assert 100 <= client.xlen(short.exchange) < 300


@pytest.mark.parametrize(
    ("pattern", "topics"),
    [
        ("a.b", ["a.b"]),
        ("a.*", ["a.b", "a.c"]),
        ("a.#", ["a", "a.b", "a.c", "a.b.c"]),
        ("#.c", ["c", "a.c", "a.b.c"]),
        ("#", ["a", "c", "a.b", "a.c", "a.b.c"]),
        ("*", ["a", "c"]),
    ],
)
def test_patterns_are_those_of_amqp(pattern, topics):
    assert [each for each in ("a", "c", "a.b", "a.c", "a.b.c") if matches(pattern, each)] == topics


def test_a_library_that_is_missing_is_named():
    with pytest.raises(ImproperlyConfigured, match=r"needs kombuu: pip install django-durable-sagas\[x\]"):
        library("kombuu", "x")
