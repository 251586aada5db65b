"""Results kept under keys, so that many calls have one effect."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from sagas.canonical import gate
from sagas.clock import database_now
from sagas.conf import saga_settings
from sagas.models import IdempotencyRecord


def idempotent(
    key: str | UUID, fn: Callable[[], Any], *, scope: str = "", ttl: timedelta | None = None
) -> Any:
    """Return what `fn` returned when it was first called under this key, calling it if it never was.

    Call and record commit together: `fn` works on this database, and if it raises nothing is recorded.
    Calls at the same time wait for each other. The result is JSON, kept for `ttl` (7 days by default,
    ``IDEMPOTENCY_TTL``). Raises `NotStorable` if it is not.
    """
    with transaction.atomic(using=IdempotencyRecord.objects.db):
        record, created = meet(key, scope=scope, ttl=ttl or saga_settings().idempotency_ttl)
        if created:
            record.result = gate(fn(), f"The result kept under {key}")
            record.save(update_fields=["result"])
        return record.result


def meet(key: str | UUID, *, scope: str, ttl: timedelta | None) -> tuple[IdempotencyRecord, bool]:
    """Return the locked record of a key, and whether it was made now. An expired one is made anew.

    Without `ttl` the record is kept for good.
    """
    now = database_now(IdempotencyRecord.objects.db)
    expires_at = now + ttl if ttl else None
    records = IdempotencyRecord.objects.select_for_update()
    record, created = records.get_or_create(scope=scope, key=str(key), defaults={"expires_at": expires_at})
    if not created and record.expires_at is not None and record.expires_at <= now:
        record.result, record.undone_at, record.expires_at = None, None, expires_at
        record.save(update_fields=["result", "undone_at", "expires_at"])
        created = True
    return record, created


def purge_expired() -> int:
    """Delete the records whose time is over; return how many there were."""
    now = database_now(IdempotencyRecord.objects.db)
    deleted, _ = IdempotencyRecord.objects.filter(expires_at__lte=now).delete()
    return deleted
