"""What makes it safe to repeat a request: keys, kept in the transaction of what was done under them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import APIException

from sagas.canonical import canonical
from sagas.conf import saga_settings
from sagas.definitions import registry
from sagas.engine import transactions
from sagas.exceptions import IdempotencyKeyReused, OperationRefused
from sagas.idempotency import meet
from sagas.keys import saga_id_for
from sagas.models import Saga

T = TypeVar("T")

PATIENCE = timedelta(seconds=2)
"""How long a request waits for one that does the same right now."""


class RequestInProgress(APIException):
    """Another request holds what this one needs, and takes its time."""

    status_code = 409
    default_code = "request_in_progress"
    default_detail = gettext_lazy(
        "A request with this key is being carried out. Repeat this one in a moment."
    )
    retry_after = "1"


@contextmanager
def promptly() -> Iterator[None]:
    """Do the block in one transaction, waiting for nobody for long. Raises `RequestInProgress`."""
    try:
        with transactions.promptly(PATIENCE):
            yield
    except transactions.LockTimeout as error:
        raise RequestInProgress from error


def once(act: Callable[[], T], *, key: str, client: str, place: str, body: Any) -> tuple[T, bool]:
    """Do what is asked under this client's key at this place, unless it was done; say whether it was.

    `act` returns JSON, which is returned again when the request is repeated. The record of the key commits
    with what was done. What was refused is not recorded: it may be allowed when it is asked again. Raises
    `IdempotencyKeyReused` for another body, `RequestInProgress`, and whatever `act` raises.
    """
    body_hash = _hash(canonical(body))
    refusal = None
    with promptly():
        ttl = saga_settings().idempotency_ttl
        record, is_new = meet(key, scope=f"api:{_hash(client, place)}", ttl=ttl)
        if is_new:
            try:
                record.result = {"body": body_hash, "came_to": act()}
                record.save(update_fields=["result"])
            except OperationRefused as refused:
                refusal = refused
                record.delete()
    if refusal is not None:
        raise refusal  # Only now, since the transaction holds the refusal's own record.
    assert record.result is not None
    if record.result["body"] != body_hash:
        raise IdempotencyKeyReused(
            _("The idempotency key %(key)r was used here with another body. Use a new one.") % {"key": key}
        )
    came_to: T = record.result["came_to"]
    return came_to, not is_new


def _hash(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def refuse_other_definition(key: str, *, client: str, definition: str) -> None:
    """Raise `IdempotencyKeyReused` if the client has started a saga of another definition under this key."""
    others = [saga_id_for(key, client=client, definition=name) for name in registry if name != definition]
    if (found := Saga.objects.filter(pk__in=others).first()) is not None:
        raise IdempotencyKeyReused(
            f"The idempotency key {key!r} was first used for {found}. Use a new key for a new request."
        )
