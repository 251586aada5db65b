"""Request headers with a meaning of their own."""

from __future__ import annotations

import re

from django.utils.cache import get_conditional_response
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from sagas.conf import saga_settings
from sagas.models import Saga

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ETAG = re.compile(r'"(\d{1,18})"')
_WAIT = re.compile(r"wait\s*=\s*(\d{1,9})", re.IGNORECASE)
MAX_IDEMPOTENCY_KEY = 200
LONGEST_WAIT = 60
"""Seconds that a client may wait for an answer: proxies give up on longer ones."""


class IdempotencyKeyInvalid(APIException):
    """The Idempotency-Key header holds no key."""

    status_code = 400
    default_code = "idempotency_key_invalid"
    default_detail = _("The Idempotency-Key must be 1 to 200 printable ASCII characters, quoted or bare.")


class IdempotencyKeyRequired(APIException):
    """The project takes no such request without an Idempotency-Key."""

    status_code = 400
    default_code = "idempotency_key_required"
    default_detail = _("Send an Idempotency-Key: this request must be safe to repeat.")


class IfMatchInvalid(APIException):
    """The If-Match header holds nothing that was ever an ETag here."""

    status_code = 400
    default_code = "if_match_invalid"
    default_detail = _("If-Match must be one ETag as this API gave it, or *.")


class IfMatchRequired(APIException):
    """The project takes no operation on a saga that was not looked at."""

    status_code = 428
    default_code = "precondition_required"
    default_detail = _("Send If-Match with the ETag of the saga as you saw it.")


class SagaChanged(APIException):
    """The saga is no more what the request wants it to be."""

    status_code = 412
    default_code = "stale_revision"
    default_detail = _("The saga has changed since you looked. Look again.")

    def __init__(self, saga: Saga) -> None:
        super().__init__()
        self.extensions = {"current_status": saga.status, "current_revision": saga.revision}


def idempotency_key(request: Request) -> str | None:
    """Return the client's Idempotency-Key: the string in quotes that the draft asks for, or a bare one."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    quoted = _QUOTED.fullmatch(given.strip())
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given.strip()
    if not (0 < len(key) <= MAX_IDEMPOTENCY_KEY and key.isascii() and key.isprintable()):
        raise IdempotencyKeyInvalid
    return key


def starting_key(request: Request) -> str | None:
    """Return the Idempotency-Key of a start, which the project may insist on."""
    key = idempotency_key(request)
    if key is None and saga_settings().require_idempotency_key:
        raise IdempotencyKeyRequired
    return key


def etag(saga: Saga) -> str:
    """Return the ETag of a saga: its revision, which counts whatever a reader could see change."""
    return f'"{saga.revision}"'


def is_seen(request: Request, saga: Saga) -> bool:
    """Say whether the client has seen the saga as it is, by If-None-Match.

    Raise `SagaChanged` where it wants by If-Match what it has seen, and that has changed.
    """
    answer = get_conditional_response(request._request, etag=etag(saga))
    if answer is not None and answer.status_code == SagaChanged.status_code:
        raise SagaChanged(saga)
    return answer is not None


def expected_revision(request: Request) -> int | None:
    """Return the revision that If-Match asks for, or None where any will do."""
    given = request.headers.get("If-Match")
    if given is None and saga_settings().require_if_match:
        raise IfMatchRequired
    if given is None or given.strip() == "*":
        return None
    if (tag := _ETAG.fullmatch(given.strip())) is None:
        raise IfMatchInvalid
    return int(tag[1])


def wanted_wait(request: Request) -> int:
    """Return for how many seconds the client would wait for a change (RFC 7240), 0 being not at all."""
    for preference in request.headers.get("Prefer", "").split(","):
        if found := _WAIT.fullmatch(preference.split(";")[0].strip()):
            return min(int(found[1]), LONGEST_WAIT)
    return 0
