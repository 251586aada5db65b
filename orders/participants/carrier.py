"""A pretend carrier: another company, with a latency, a ledger and outages of its own."""

from __future__ import annotations

import time
from datetime import timedelta

from django.db import transaction

from orders.models import BookingStatus, CarrierBooking
from orders.trouble import Trouble

LATENCY = timedelta(milliseconds=20)
OUTAGE_ENDS_WITH_ATTEMPT = 3


class Unreachable(ConnectionError):
    """No connection to the carrier came about."""


class NoBookings(Exception):
    """The carrier answered that it takes no bookings now; nothing was booked."""


class BookingTakenBack(Exception):
    """The booking was cancelled before, so its key books nothing any more."""


def book(key: str, *, order_id: str, attempt: int, trouble: str = Trouble.NONE) -> str:
    """Book a parcel once per key and return its tracking number."""
    time.sleep(LATENCY.total_seconds())
    if trouble == Trouble.CARRIER_OUTAGE and attempt < OUTAGE_ENDS_WITH_ATTEMPT:
        raise Unreachable("The carrier cannot be reached.")
    if trouble == Trouble.CARRIER_DOWN:
        raise NoBookings("The carrier takes no bookings.")
    return _write(key, order_id)


def cancel(key: str, *, order_id: str) -> None:
    """Cancel what was booked under `key`; if nothing was, see to it that nothing will be."""
    time.sleep(LATENCY.total_seconds())
    with transaction.atomic(durable=True):
        CarrierBooking.objects.get_or_create(
            idempotency_key=key, defaults={"order_id": order_id, "status": BookingStatus.VOIDED}
        )
        booked = CarrierBooking.objects.filter(idempotency_key=key, status=BookingStatus.BOOKED)
        booked.update(status=BookingStatus.CANCELLED)


# Durable: these are the books of another company, never part of a transaction of ours.
@transaction.atomic(durable=True)
def _write(key: str, order_id: str) -> str:
    booking, _created = CarrierBooking.objects.get_or_create(
        idempotency_key=key, defaults={"order_id": order_id, "status": BookingStatus.BOOKED}
    )
    if booking.status != BookingStatus.BOOKED:
        raise BookingTakenBack(
            f"The carrier cancelled {booking.tracking} before, and does not book it again."
        )
    return booking.tracking
