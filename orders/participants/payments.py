"""Payments: charges customers through the gateway and keeps the shop's own record of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import transaction

from orders import crash
from orders.models import Payment, PaymentStatus
from orders.participants import gateway
from orders.trouble import Trouble
from sagas.participants import effect_once, undo_once


def charge(key: str, *, order_id: str, amount: Decimal, trouble: str = Trouble.NONE) -> dict[str, Any]:
    """Take the money once per key, and record it."""
    # The gateway first, and outside any transaction of ours: it charges whether or not we write it down.
    receipt = gateway.charge(key, order_id=order_id, amount=amount, trouble=trouble)
    if trouble == Trouble.CRASH_AFTER_CHARGE and receipt.first:
        crash.crash_worker()
    return effect_once(key, lambda: _record(key, order_id, amount, receipt.reference))


def refund(key: str, *, order_id: str) -> None:
    """Give back what was charged under `key`, also a charge that was never recorded here."""
    gateway.refund(key, order_id=order_id)
    with transaction.atomic():
        undo_once(key, lambda result: None)
        # By the books and not by the key's record: that expires, and an order may come back later still.
        Payment.objects.filter(idempotency_key=key).update(status=PaymentStatus.REFUNDED)


def key_of(order_id: str) -> str | None:
    """Return the key under which an order was paid, or None."""
    payments = Payment.objects.filter(order_id=order_id).order_by("-pk")
    return payments.values_list("idempotency_key", flat=True).first()


def _record(key: str, order_id: str, amount: Decimal, reference: str) -> dict[str, Any]:
    Payment.objects.create(idempotency_key=key, order_id=order_id, amount=amount, charge=reference)
    return {"charge": reference, "amount": str(amount)}
