"""Sends the news of sagas to the webhooks of the settings: deliveries like others, retried and given up.

A name is resolved once, and what is connected to is the address that was judged: a name that resolves to
something else the next moment changes nothing. Redirects and proxies are not followed.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import time
from contextlib import suppress
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from threading import Timer
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.core.exceptions import ImproperlyConfigured

from sagas.conf import saga_settings
from sagas.definitions import PERSISTENT, Event, Subscription, subscriptions
from sagas.definitions.webhooks import NEWS, Webhook
from sagas.exceptions import PermanentFailure
from sagas.messaging.envelopes import cloud_event_of
from sagas.signatures import sign

PREFIX = "webhook:"
PATIENCE = timedelta(seconds=10)
MOST_READ = 64 * 1024
TRY_AGAIN = frozenset({408, 409, 425, 429})
PUBLIC = ipaddress.IPv6Network("2000::/3")
"""All that is handed out of IPv6. What is elsewhere is local, or stands for an address of IPv4."""
PORTS = {"http": 80, "https": 443}


def install() -> None:
    """Subscribe the webhooks of the settings, and no others."""
    for subscription in [each for each in subscriptions if each.name.startswith(PREFIX)]:
        subscriptions.remove(subscription.name)
    for webhook in saga_settings().webhooks:
        _check(webhook)
        for topic in webhook.events:
            subscriptions.add(
                Subscription(
                    topic=topic,
                    handler=_Sender(webhook),
                    name=f"{PREFIX}{webhook.name}:{topic}",
                    retry=PERSISTENT,
                    timeout=3 * PATIENCE,
                    atomic=False,
                )
            )


def _check(webhook: Webhook) -> None:
    if unknown := sorted(set(webhook.events) - set(NEWS)):
        raise ImproperlyConfigured(
            f"SAGAS['WEBHOOKS'] has {webhook!r} with the events {', '.join(unknown)}. There are "
            f"{', '.join(NEWS)}."
        )
    parts = urlsplit(webhook.url)
    if (
        parts.scheme not in PORTS
        or not parts.hostname
        or parts.username
        or parts.password
        or not _port(parts)
    ):
        raise ImproperlyConfigured(
            f"SAGAS['WEBHOOKS'] has {webhook!r}, whose address is not http:// or https:// with a host and "
            "without a user."
        )


def _port(url: SplitResult) -> int:
    """Return the port of an address; 0 if it has none that could be."""
    try:
        return PORTS[url.scheme] if url.port is None else url.port
    except ValueError:
        return 0


class _Sender:
    """The handler of one webhook."""

    __module__ = "sagas.choreography.webhooks"

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook
        self.__qualname__ = f"webhook {webhook.name}"

    def __call__(self, event: Event) -> None:
        wanted = self._webhook.definitions
        if not wanted or event.data["definition"] in wanted:
            send(self._webhook, event)


def send(webhook: Webhook, event: Event) -> None:
    """Send an event to a webhook. Raises `PermanentFailure` if it is refused for good."""
    body = json.dumps(cloud_event_of(event), ensure_ascii=False).encode()
    message_id, timestamp = str(event.id), str(int(time.time()))
    headers = {
        "Content-Type": "application/cloudevents+json",
        "User-Agent": "django-durable-sagas",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": sign(webhook.secret, message_id, timestamp, body),
    }
    status = _post(urlsplit(webhook.url), body, headers, private=webhook.private)
    if 200 <= status < 300:
        return
    if 300 <= status < 500 and status not in TRY_AGAIN:
        raise PermanentFailure(f"{webhook.name} answered {status}. Redirects are not followed.")
    raise ConnectionError(f"{webhook.name} answered {status}.")


def _post(url: SplitResult, body: bytes, headers: dict[str, str], *, private: bool) -> int:
    assert url.hostname is not None
    port = _port(url)
    connection = _Pinned(url, port, address_of(url.hostname, port, private=private))
    path = url._replace(scheme="", netloc="", fragment="").geturl() or "/"
    # The time-out of a socket is for each byte: one who drips them would keep a thread for ever.
    too_late = Timer(2 * PATIENCE.total_seconds(), connection.cut)
    too_late.start()
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read(MOST_READ)
        return response.status
    except HTTPException as error:
        raise ConnectionError(f"{url.hostname} did not answer as HTTP: {error!r}") from error
    finally:
        too_late.cancel()
        connection.close()


def address_of(host: str, port: int, *, private: bool = False) -> str:
    """Resolve a host to an address that may be connected to. Raises `PermanentFailure`.

    All of its addresses have to be public: one that is not tells that the name is not what it seems.
    """
    found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        if not private and not _is_public(address):
            raise PermanentFailure(
                f"{host} is {address}, which is not a public address. If it is meant, set private=True on "
                "its webhook."
            )
    return found[0]


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.sixtofour or (address.teredo or (None, None))[1]
        if address not in PUBLIC or (inner is not None and not inner.is_global):
            return False
    return address.is_global and not address.is_multicast


class _Pinned(HTTPConnection):
    """A connection to an address that was resolved before."""

    def __init__(self, url: SplitResult, port: int, address: str) -> None:
        super().__init__(str(url.hostname), port, timeout=PATIENCE.total_seconds())
        self._address = address
        self._is_safe = url.scheme == "https"

    def connect(self) -> None:
        plain: Any = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = plain
        if self._is_safe:
            self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)

    def cut(self) -> None:
        """End whatever is being waited for, from another thread."""
        with suppress(OSError, AttributeError):  # It may have ended by itself meanwhile, or not begun.
            self.sock.shutdown(socket.SHUT_RDWR)
