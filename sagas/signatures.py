"""Signatures of requests between systems, as Standard Webhooks has them.

HMAC-SHA256 over id, time and body, so that what was listened in on cannot be sent as something else, or late.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from datetime import timedelta

WINDOW = timedelta(minutes=5)
"""How far the time of a signature may be from ours."""


def sign(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a message."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def verify(secret: str, signature: str, message_id: str, timestamp: str, body: bytes) -> bool:
    """Say whether one of the signatures given, with spaces between them, is right."""
    right = sign(secret, message_id, timestamp, body).encode()
    given = (each.encode(errors="replace") for each in signature.split(" "))
    return any(hmac.compare_digest(right, each) for each in given)


def is_fresh(timestamp: str) -> bool:
    """Say whether a message was signed within the last minutes."""
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 13):
        return False
    return abs(time.time() - int(timestamp)) <= WINDOW.total_seconds()


def _key(secret: str) -> bytes:
    """Return the bytes of a secret: those after ``whsec_`` are base64, any other is taken as it is."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            pass
    return secret.encode()
