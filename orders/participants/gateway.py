"""A pretend payment gateway: another company, with a latency and a ledger of its own.

It honours idempotency keys, as such companies do: one key, one charge, however often it is sent. It writes
its books before it answers, so an answer that is lost on the way loses no charge.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db import transaction

from orders.models import ChargeStatus, GatewayCharge
from orders.trouble import Trouble

LATENCY = timedelta(milliseconds=20)


class CardDeclined(Exception):
    """The bank refused; nothing was charged and nothing will be."""


class ChargeTakenBack(Exception):
    """The charge was refunded or voided before, so its key charges nothing any more."""


class AnswerLost(TimeoutError):
    """The request arrived, and its answer did not."""


@dataclass(frozen=True)
class Receipt:
    """The gateway's answer to a charge."""

    reference: str
    first: bool
    """This very call made the order's first charge; a call repeated under its key is answered without it."""


def charge(key: str, *, order_id: str, amount: Decimal, trouble: str = Trouble.NONE) -> Receipt:
    """Charge the card on file once per key."""
    time.sleep(LATENCY.total_seconds())
    if trouble == Trouble.CARD_DECLINED:
        raise CardDeclined(f"The bank declined to pay {amount} €: insufficient funds.")
    receipt = _capture(key, order_id, amount)
    if trouble == Trouble.PAYMENT_UNKNOWN or (trouble == Trouble.PAYMENT_TIMEOUT and receipt.first):
        raise AnswerLost("The gateway did not answer in time.")
    return receipt


def refund(key: str, *, order_id: str) -> None:
    """Give back what was charged under `key`; if nothing was, see to it that nothing will be."""
    time.sleep(LATENCY.total_seconds())
    with transaction.atomic(durable=True):
        GatewayCharge.objects.get_or_create(
            idempotency_key=key, defaults={"order_id": order_id, "status": ChargeStatus.VOIDED}
        )
        captured = GatewayCharge.objects.filter(idempotency_key=key, status=ChargeStatus.CAPTURED)
        captured.update(status=ChargeStatus.REFUNDED)


# Durable: these are the books of another company, never part of a transaction of ours.
@transaction.atomic(durable=True)
def _capture(key: str, order_id: str, amount: Decimal) -> Receipt:
    charge, created = GatewayCharge.objects.get_or_create(
        idempotency_key=key,
        defaults={"order_id": order_id, "status": ChargeStatus.CAPTURED, "amount": amount},
    )
    if charge.status != ChargeStatus.CAPTURED:
        raise ChargeTakenBack(
            f"The gateway took {charge.reference} back before, and does not charge it again."
        )
    others = GatewayCharge.objects.filter(order_id=order_id).exclude(pk=charge.pk)
    return Receipt(reference=charge.reference, first=created and not others.exists())
