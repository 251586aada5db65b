"""Request headers with a meaning of their own."""

from __future__ import annotations

import re

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from sagas.models import Saga

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ETAG = re.compile(r'"(\d{1,18})"')
MAX_IDEMPOTENCY_KEY = 255


class IdempotencyKeyInvalid(APIException):
    """The Idempotency-Key header holds no key."""

    status_code = 400
    default_code = "idempotency_key_invalid"
    default_detail = _("The Idempotency-Key must be 1 to 255 printable ASCII characters, quoted or bare.")


class IfMatchInvalid(APIException):
    """The If-Match header holds nothing that was ever an ETag here."""

    status_code = 400
    default_code = "if_match_invalid"
    default_detail = _("If-Match must be one ETag as this API gave it, or *.")


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


def etag(saga: Saga) -> str:
    """Return the ETag of a saga: its revision, which counts whatever a reader could see change."""
    return f'"{saga.revision}"'


def expected_revision(request: Request) -> int | None:
    """Return the revision that If-Match asks for, or None where any will do."""
    given = request.headers.get("If-Match", "*").strip()
    if given == "*":
        return None
    if (tag := _ETAG.fullmatch(given)) is None:
        raise IfMatchInvalid
    return int(tag[1])
