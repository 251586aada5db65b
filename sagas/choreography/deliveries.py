"""Takes the deliveries that are due for a worker, keeps them, and gives them back.

A call is counted by the transaction that takes it. What is due and still held was left by a worker that died.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeAlias
from uuid import UUID

from django.db.models import F, QuerySet

from sagas.choreography.delivery import Delivery
from sagas.clock import DatabaseTime
from sagas.conf import saga_settings
from sagas.definitions import Subscription, subscriptions
from sagas.engine import bulk
from sagas.engine.queries import fetch_again
from sagas.engine.takeover import batch_size, lone_crashes
from sagas.engine.transactions import durably
from sagas.messaging.backlog import deliveries_due
from sagas.messaging.envelopes import event_of
from sagas.models import InboxMessage, InboxStatus

FIELDS = (
    "id",
    "event_id",
    "subscriber",
    "topic",
    "key",
    "seq",
    "data",
    "headers",
    "correlation_id",
    "tries",
    "crashes",
    "in_doubt",
    "held_by",
    "at",
    "began_at",
)
Found: TypeAlias = tuple[datetime, dict[str, Any]]
CLAIM_FIELDS = (
    "status",
    "tries",
    "crashes",
    "in_doubt",
    "held_by",
    "due_at",
    "began_at",
    "error_class",
    "error",
)


@dataclass
class Taken:
    """What one claim took."""

    deliveries: list[Delivery] = field(default_factory=list)
    full: bool = False
    """There may be more."""
    apart: bool = False
    """Some that lost their worker are due, or were taken: claim no others until the hand is empty."""
    dead: list[str] = field(default_factory=list)
    """The correlation ids of those that were given up, for they kill their workers."""


def earliest() -> datetime | None:
    """Return when the next delivery is due, or was."""
    return deliveries_due(later=True).values_list("due_at", flat=True).first() if len(subscriptions) else None


def claim(
    worker: UUID, *, limit: int, lease: timedelta, alone: bool = True, without: Collection[str] = ()
) -> Taken:
    """Take up to `limit` deliveries that are due, each counted as a call from here on.

    Those to the subscribers `without` are left. `alone` says that the worker has nothing in hand, so that one
    under suspicion of killing it may be taken.
    """
    if not len(subscriptions):
        return Taken()

    def ours(taken: Taken) -> bool:
        keys = [delivery.pk for delivery in taken.deliveries]
        return bool(keys) and InboxMessage.objects.filter(pk__in=keys, held_by=worker).exists()

    return durably(lambda: _claim(worker, limit, lease, alone, without), happened=ours)


def _claim(worker: UUID, limit: int, lease: timedelta, alone: bool, without: Collection[str]) -> Taken:
    names = tuple(each.name for each in subscriptions if each.name not in without)
    rows = fetch_again(_for_us, names, limit, alias=InboxMessage.objects.db)
    found = [(now, dict(zip(FIELDS, row, strict=True))) for now, *row in rows]
    taken = Taken(full=len(found) >= limit)
    found, taken.apart = _company(found, alone=alone)
    written = []
    for now, row in found:
        crashes = _crashes(row)
        message = InboxMessage(
            pk=row["id"],
            status=InboxStatus.DUE,
            tries=row["tries"] + 1,
            crashes=crashes,
            in_doubt=row["in_doubt"] or (crashes > row["crashes"] and not _subscription(row).atomic),
            held_by=worker,
            due_at=now + lease,
            began_at=row["began_at"] or now,
            error_class="",
            error="",
        )
        written.append(message)
        if lone_crashes(crashes, limit=saga_settings().batch) >= saga_settings().crash_limit:
            message.status, message.held_by, message.tries = InboxStatus.DEAD, None, row["tries"]
            message.error_class = "CrashLoop"
            message.error = f"Its worker was lost {crashes} times while this event was handled."
            taken.dead.append(row["correlation_id"])
        else:
            taken.deliveries.append(_delivery(message, row, now))
    bulk.write(InboxMessage.objects.db, bulk.Update(written, CLAIM_FIELDS))
    return taken


def _for_us(names: tuple[str, ...], limit: int) -> QuerySet[InboxMessage, tuple[Any, ...]]:
    rows = deliveries_due(names).select_for_update(skip_locked=True, no_key=True)[:limit]
    return rows.values_list(DatabaseTime(), *FIELDS)


def _company(found: list[Found], *, alone: bool) -> tuple[list[Found], bool]:
    """Choose who may be taken together, and say whether others have to wait until the hand is empty.

    Those that lost a worker may have killed it, and go apart: fewer with each crash, and at last alone.
    """
    crashes = [_crashes(row) for _now, row in found]
    worst = max(crashes, default=0)
    if not worst:
        return found, False
    if not alone:
        return [each for each, lost in zip(found, crashes, strict=True) if not lost], True
    size = batch_size(worst, limit=saga_settings().batch)
    return [each for each, lost in zip(found, crashes, strict=True) if lost == worst][:size], True


def _crashes(row: dict[str, Any]) -> int:
    return int(row["crashes"] + (row["held_by"] is not None))


def _delivery(message: InboxMessage, row: dict[str, Any], now: datetime) -> Delivery:
    return Delivery(
        pk=message.pk,
        event=replace(event_of(SimpleNamespace(**row)), attempt=message.tries - message.crashes),
        subscription=_subscription(row),
        number=message.tries,
        counted=message.tries - message.crashes,
        since_first=now - (message.began_at or now),
        in_doubt=message.in_doubt,
    )


def _subscription(row: dict[str, Any]) -> Subscription:
    found = subscriptions.get(row["subscriber"])
    assert found is not None  # Only what the code knows is taken.
    return found


def release(group: Collection[Delivery], worker: UUID) -> None:
    """Give deliveries back that were not made, uncounted. Those that were written after all stay so."""
    InboxMessage.objects.filter(
        pk__in=[delivery.pk for delivery in group], held_by=worker, status=InboxStatus.DUE
    ).update(held_by=None, due_at=DatabaseTime(), tries=F("tries") - 1)


def renew(group: Collection[Delivery], worker: UUID, *, lease: timedelta) -> None:
    """Extend the lease of what is in hand."""
    InboxMessage.objects.filter(
        pk__in=[delivery.pk for delivery in group], held_by=worker, status=InboxStatus.DUE
    ).update(due_at=DatabaseTime() + lease)
