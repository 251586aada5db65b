"""Webhooks: signed, tried again, given up; and what they are not sent to."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured

from sagas import HALT, PermanentFailure, Webhook
from sagas.choreography import webhooks
from sagas.definitions import subscriptions
from sagas.models import InboxMessage
from sagas.operations.letters import hold, release
from sagas.signatures import is_fresh, verify
from sagas.testing import advance, run_saga
from tests.samples import HOUR, MINUTE, ONCE, step

SECRET = "whsec_c2VjcmV0"


class Receiver(HTTPServer):
    """Another system, on loopback."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.received: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), Endpoint)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?a=b"


class Endpoint(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(
            ({k.lower(): v for k, v in self.headers.items()} | {"path": self.path}, body)
        )
        self.send_response(self.server.answers.pop(0) if self.server.answers else 204)
        self.send_header("Location", self.server.url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def hook(settings, receiver):
    def install(**options):
        given = {"private": True} | options
        settings.SAGAS = settings.SAGAS | {
            "WEBHOOKS": [Webhook("shop", given.pop("url", receiver.url), SECRET, **given)]
        }
        webhooks.install()

    yield install
    settings.SAGAS = settings.SAGAS | {"WEBHOOKS": []}
    webhooks.install()
    assert not [each for each in subscriptions if each.name.startswith("webhook:")]


@pytest.mark.django_db
def test_the_end_of_a_saga_is_told_signed(define, hook, receiver):
    hook()
    saga = run_saga(define(step("pay")), {})
    [(headers, body)] = receiver.received
    assert verify(
        SECRET, headers["webhook-signature"], headers["webhook-id"], headers["webhook-timestamp"], body
    )
    assert is_fresh(headers["webhook-timestamp"])
    told = json.loads(body)
    assert (headers["path"], headers["content-type"]) == ("/hook?a=b", "application/cloudevents+json")
    assert (told["type"], told["id"], told["specversion"]) == ("saga.completed", headers["webhook-id"], "1.0")
    assert (told["data"]["saga"], told["data"]["status"]) == (str(saga.pk), "completed")


@pytest.mark.django_db
def test_each_kind_of_news_is_told_to_who_wants_it(define, play, hook, receiver):
    hook(definitions=["samples.wanted"], events=["saga.compensated", "saga.failed", "saga.needs_attention"])
    play.always("pay", PermanentFailure("no"))
    run_saga(define(step("pay"), name="samples.wanted"), {})
    run_saga(define(step("pay"), name="samples.other"), {})
    play.always("pay", ValueError("no"))
    run_saga(define(step("pay", retry=ONCE), name="samples.wanted", on_exhausted=HALT), {})
    told = [json.loads(body) for _headers, body in receiver.received]
    assert sorted(each["type"] for each in told) == [
        "saga.compensated",
        "saga.failed",
        "saga.needs_attention",
    ]
    assert {each["data"]["definition"] for each in told} == {"samples.wanted"}


@pytest.mark.django_db
def test_an_answer_that_is_no_is_asked_again_under_the_same_id(define, hook, receiver):
    receiver.answers = [503, 429]
    hook()
    run_saga(define(step("pay")), {})
    advance(5 * MINUTE)
    assert len({headers["webhook-id"] for headers, _body in receiver.received}) == 1
    assert len(receiver.received) == 3
    assert InboxMessage.objects.get(subscriber__startswith="webhook:").status == "done"


@pytest.mark.django_db
@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 410])
def test_an_answer_that_will_not_change_is_a_dead_letter(define, hook, receiver, status):
    receiver.answers = [status]
    hook()
    run_saga(define(step("pay")), {})
    advance(HOUR)
    assert len(receiver.received) == 1
    letter = InboxMessage.objects.get(status="dead")
    assert letter.error == f"shop answered {status}. Redirects are not followed."


@pytest.mark.django_db
def test_nothing_is_written_where_nobody_wants_to_know(define):
    run_saga(define(step("pay")), {})
    assert not InboxMessage.objects.exists()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "localhost",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::101:101",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "fec0::1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "169.254.169.254",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "fe80::1",
        "fe80::1%1",
        "fd00::1",
        "ff02::1",
        "::",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_what_is_not_public_is_not_asked(host):
    try:
        socket.getaddrinfo(host, 80)
    except OSError:
        pytest.skip("not an address on this machine")
    with pytest.raises(PermanentFailure, match="not a public address"):
        webhooks.address_of(host, 80)


def test_one_private_address_among_public_ones_is_enough(monkeypatch):
    found = [(0, 0, 0, "", (address, 443)) for address in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
    with pytest.raises(PermanentFailure, match=r"is 10\.0\.0\.1"):
        webhooks.address_of("shop.example", 443)


@pytest.mark.parametrize("host", ["1.1.1.1", "2606:4700:4700::1111", "93.184.216.34"])
def test_what_is_public_may_be_asked(host):
    assert webhooks.address_of(host, 443) == host


@pytest.mark.django_db
def test_a_name_that_is_another_address_the_next_moment_changes_nothing(define, hook, receiver, monkeypatch):
    hook(url=f"http://shop.example:{receiver.server_port}/")
    answers = iter(["127.0.0.1", "169.254.169.254"])
    real, connected = socket.create_connection, []

    def resolve(host, port, *args, **options):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def connect(address, *args, **options):
        connected.append(address[0])
        with monkeypatch.context() as as_before:
            as_before.setattr(socket, "getaddrinfo", given)
            return real(address, *args, **options)

    given = socket.getaddrinfo
    monkeypatch.setattr(socket, "create_connection", connect)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", resolve)
        run_saga(define(step("pay")), {})
    assert (connected, next(answers)) == (["127.0.0.1"], "169.254.169.254")
    assert receiver.received[0][0]["host"] == f"shop.example:{receiver.server_port}"


def test_one_who_drips_is_cut_off(monkeypatch):
    monkeypatch.setattr(webhooks, "PATIENCE", timedelta(milliseconds=100))
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            connection, _ = server.accept()
            with connection, suppress(OSError):
                while not done.wait(0.05):
                    connection.send(b"H")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            url = urlsplit(f"http://127.0.0.1:{server.getsockname()[1]}/")
            with pytest.raises(ConnectionError):
                webhooks._post(url, b"{}", {}, private=True)
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://shop.example/",
        "file:///etc/passwd",
        "gopher://x/",
        "http://a@127.0.0.1/",
        "https://",
        "x",
        "https://a:99999/",
    ],
)
def test_what_is_no_address_is_refused_at_start(settings, url):
    settings.SAGAS = settings.SAGAS | {"WEBHOOKS": [Webhook("shop", url, SECRET)]}
    with pytest.raises(ImproperlyConfigured, match="whose address is not"):
        webhooks.install()


def test_a_proxy_of_the_environment_is_not_asked(hook, receiver, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    parts = urlsplit(receiver.url)
    assert webhooks._post(parts, b"{}", {}, private=True) == 204


def test_an_event_that_nobody_tells_is_refused_at_start(settings):
    odd = Webhook("shop", "https://a.example/", SECRET, events=["x"])
    settings.SAGAS = settings.SAGAS | {"WEBHOOKS": [odd]}
    with pytest.raises(ImproperlyConfigured, match="with the events x"):
        webhooks.install()
    assert SECRET not in repr(odd)


@pytest.mark.django_db
def test_what_is_held_is_not_sent_until_it_is_released(hook, receiver, define):
    hook()
    receiver.answers = [503]
    run_saga(define(step("book")), {})
    sent = len(receiver.received)
    pk = InboxMessage.objects.get(status="due").pk
    hold(pk, by="ops", reason="they move house")
    advance(HOUR)
    assert len(receiver.received) == sent
    release(pk, by="ops")
    advance(MINUTE)
    assert len(receiver.received) == sent + 1
    assert InboxMessage.objects.get(pk=pk).status == "done"
