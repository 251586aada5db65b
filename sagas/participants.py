"""For services that live in this project: effects that happen once per idempotency key, and undo that
sticks.

One row per key is where an action and its compensation meet. Whichever comes first makes it; an action that
comes after its undo finds a tombstone and is refused, however late it was. The row and the effect commit
together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction

from sagas.canonical import gate
from sagas.clock import database_now
from sagas.exceptions import PermanentFailure
from sagas.idempotency import meet
from sagas.models import IdempotencyRecord

SCOPE = "effect"


def effect_once(key: str | UUID, effect: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Have the effect, unless this key had it before; return its result either way.

    `effect` works on this database and commits together with the record of it. Raises `PermanentFailure` if
    the effect was undone, also if the undo came first.
    """
    with transaction.atomic(using=IdempotencyRecord.objects.db):
        record, created = meet(key, scope=SCOPE, ttl=None)
        if record.undone_at is not None:
            raise PermanentFailure(
                f"What was asked for under {key} has been undone, so it is not done any more."
            )
        if created:
            record.result = gate(effect(), f"The effect under {key}")
            record.save(update_fields=["result"])
        return dict(record.result or {})


def undo_once(key: str | UUID, undo: Callable[[dict[str, Any]], None]) -> bool:
    """Undo the effect that was had under this key, if it was, and make sure that it never will be again.

    `undo` is given the effect's result. Returns whether there was an effect to undo now: where there was
    none a tombstone is left, and a repeat does nothing.
    """
    with transaction.atomic(using=IdempotencyRecord.objects.db):
        record, created = meet(key, scope=SCOPE, ttl=None)
        if record.undone_at is not None:
            return False
        record.undone_at = database_now(IdempotencyRecord.objects.db)
        record.save(update_fields=["undone_at"])
        if created:
            return False
        undo(dict(record.result or {}))
        return True
