"""Shipping: books parcels with the carrier and keeps the shop's own record of them."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from orders.models import Shipment, ShipmentStatus
from orders.participants import carrier
from orders.trouble import Trouble
from sagas.participants import effect_once, undo_once


def book(key: str, *, order_id: str, attempt: int, trouble: str = Trouble.NONE) -> dict[str, Any]:
    """Book a parcel once per key, and record it."""
    tracking = carrier.book(key, order_id=order_id, attempt=attempt, trouble=trouble)
    return effect_once(key, lambda: _record(key, order_id, tracking))


def cancel(key: str, *, order_id: str) -> None:
    """Cancel what was booked under `key`, also a booking that was never recorded here."""
    carrier.cancel(key, order_id=order_id)
    with transaction.atomic():
        undo_once(key, lambda result: None)
        Shipment.objects.filter(idempotency_key=key).update(status=ShipmentStatus.CANCELLED)


def _record(key: str, order_id: str, tracking: str) -> dict[str, Any]:
    Shipment.objects.create(idempotency_key=key, order_id=order_id, tracking=tracking)
    return {"tracking": tracking}
