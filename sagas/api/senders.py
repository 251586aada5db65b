"""Who may tell something from outside: senders whose secret the project keeps, and who was given a callback.

They sign what they send.

The signature is that of Standard Webhooks: over id, time and body, so that a body which was listened in on
cannot be sent as another, or much later.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from sagas.api.parsers import PayloadTooLarge
from sagas.canonical import MAX_BYTES
from sagas.conf import saga_settings
from sagas.engine.callbacks import opened, secrets_of
from sagas.signatures import is_fresh, verify

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


class Sender:
    """Another system: known by the `source` of its events, or by the callback that it was given."""

    is_authenticated = True

    def __init__(self, name: str, answers: tuple[UUID, str] | None = None) -> None:
        self.name = name
        self.answers = answers
        """The saga and the wait to which it was given a callback."""

    def get_username(self) -> str:
        """Return what the history calls it."""
        return self.name

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Say that it may publish, and nothing else."""
        return False


class Signed(BaseAuthentication, ABC):
    """Knows another system by the signature of the request."""

    def authenticate(self, request: Request) -> tuple[Sender, None]:
        """Return the sender. Raise `AuthenticationFailed`."""
        headers = [request.headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE)]
        if not all(headers):
            names = ", ".join((ID, TIMESTAMP, SIGNATURE))
            text = _("Sign the request: it needs the headers %(names)s.")
            raise AuthenticationFailed(text % {"names": names})
        message_id, timestamp, signature = headers
        if not is_fresh(timestamp):
            text = _("The request was not signed just now. Sign it anew, by a clock that is right.")
            raise AuthenticationFailed(text)
        body = _body_of(request)
        sender, secrets = self._claimed(request, body)
        # A sender that is not known costs as much time as one that signs wrongly, and is told the same.
        right = [verify(secret, signature, message_id, timestamp, body) for secret in secrets or ["-"]]
        if not (secrets and any(right)):
            raise AuthenticationFailed(self._refusal())
        return sender, None

    def authenticate_header(self, request: Request) -> str:
        """Return what a client is told that did not sign."""
        return 'Webhook-Signature realm="events"'

    @abstractmethod
    def _claimed(self, request: Request, body: bytes) -> tuple[Sender, Sequence[str]]:
        """Return whose request it says it is, and their secrets; none if nobody is known by that name."""

    @abstractmethod
    def _refusal(self) -> str:
        """Return what a request is told that is not signed as it should be."""


class SignedBySender(Signed):
    """Knows a sender of the settings by the `source` of the event."""

    def _claimed(self, request: Request, body: bytes) -> tuple[Sender, Sequence[str]]:
        source = _source_of(body)
        secret = saga_settings().event_senders.get(source)
        return Sender(source), [] if secret is None else [secret]

    def _refusal(self) -> str:
        return _("The signature is not that of a known sender with this source.")


class SignedForCallback(Signed):
    """Knows who was given a callback by the token in the address."""

    def _claimed(self, request: Request, body: bytes) -> tuple[Sender, Sequence[str]]:
        token = request.parser_context["kwargs"]["token"]
        answers = opened(token)
        return Sender("callback", answers), [] if answers is None else secrets_of(token)

    def _refusal(self) -> str:
        return _("The signature is not that of this callback. Use the URL and the secret of one step.")


def _body_of(request: Request) -> bytes:
    if int(request.headers.get("content-length") or 0) > MAX_BYTES:
        raise PayloadTooLarge(_("The body has more than %(most)d bytes.") % {"most": MAX_BYTES})
    return request._request.body


def _source_of(body: bytes) -> str:
    try:
        source = json.loads(body)["source"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return source if isinstance(source, str) else ""
