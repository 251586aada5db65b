"""Who may publish from outside: senders whose secret the project keeps, and who sign what they send.

The signature is that of Standard Webhooks: over id, time and body, so that a body which was listened in on
cannot be sent as another, or much later.
"""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from sagas.api.parsers import PayloadTooLarge
from sagas.canonical import MAX_BYTES
from sagas.conf import saga_settings
from sagas.signatures import is_fresh, verify

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


class Sender:
    """Another system, known by the `source` of its events."""

    is_authenticated = True

    def __init__(self, source: str) -> None:
        self.source = source

    def get_username(self) -> str:
        """Return what the history calls it."""
        return self.source

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Say that it may publish, and nothing else."""
        return False


class SignedBySender(BaseAuthentication):
    """Knows a sender by the signature of the request."""

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
        source = _source_of(body)
        secret = saga_settings().event_senders.get(source)
        # A sender that is not known costs as much time as one that signs wrongly, and is told the same.
        if not verify(secret or "-", signature, message_id, timestamp, body) or secret is None:
            raise AuthenticationFailed(_("The signature is not that of a known sender with this source."))
        return Sender(source), None

    def authenticate_header(self, request: Request) -> str:
        """Return what a client is told that did not sign."""
        return 'Webhook-Signature realm="events"'


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
