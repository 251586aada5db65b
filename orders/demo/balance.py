"""Whether the books of all services agree with the orders, over everything that was ever ordered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from django.db.models import F, OuterRef, Q, Subquery

from orders.models import (
    SOLD,
    BookingStatus,
    CarrierBooking,
    ChargeStatus,
    GatewayCharge,
    Order,
    OrderLine,
    OrderStatus,
    Payment,
    PaymentStatus,
    Product,
    Shipment,
    ShipmentStatus,
)
from sagas.models import Saga
from sagas.states import SagaStatus

SENT = (*SOLD, OrderStatus.RETURNING, OrderStatus.RETURNED)
"""The statuses of orders whose saga completed: a parcel went out, whatever became of it later."""

Subject = TypeVar("Subject", UUID, str)


def differences() -> Iterator[str]:
    """Say, sentence by sentence, what does not balance. Nothing does while sagas are at work."""
    sold = _total(Order.objects.filter(status__in=SOLD).values_list("pk", "total"))
    charges = GatewayCharge.objects.filter(status=ChargeStatus.CAPTURED).values_list("order_id", "amount")
    payments = Payment.objects.filter(status=PaymentStatus.CAPTURED).values_list("order_id", "amount")
    yield from _compare("The gateway keeps money for order", _total(charges), sold)
    yield from _compare("Payments keeps money for order", _total(payments), sold)

    sent = Counter(Order.objects.filter(status__in=SENT).values_list("pk", flat=True))
    bookings = CarrierBooking.objects.filter(status=BookingStatus.BOOKED).values_list("order_id", flat=True)
    shipments = Shipment.objects.filter(status=ShipmentStatus.BOOKED).values_list("order_id", flat=True)
    yield from _compare("The carrier has parcels for order", Counter(bookings), sent)
    yield from _compare("Shipping has parcels for order", Counter(shipments), sent)

    lines = OrderLine.objects.filter(order__status__in=SOLD).values_list("product__sku", "quantity")
    gone = Product.objects.values_list("sku", F("supplied") - F("stock"))
    yield from _compare("The shelf lacks units of", _total(gone), _total(lines))

    yield from _orders_unlike_their_sagas()


def _total(rows: Iterable[tuple[Subject, Decimal | int]]) -> dict[Subject, Decimal | int]:
    totals: defaultdict[Subject, Decimal | int] = defaultdict(int)
    for subject, amount in rows:
        totals[subject] += amount
    return totals


def _compare(
    what: str, found: Mapping[Subject, Decimal | int], expected: Mapping[Subject, Decimal | int]
) -> Iterator[str]:
    for subject in sorted(found.keys() | expected.keys()):
        amount, right = found.get(subject, 0), expected.get(subject, 0)
        if amount != right:
            yield f"{what} {subject}: {amount}. The completed orders say {right}."


def _orders_unlike_their_sagas() -> Iterator[str]:
    saga_status = Saga.objects.filter(pk=OuterRef("saga_id")).values("status")
    wrong = Q(saga_status=SagaStatus.COMPLETED) & ~Q(status__in=SENT)
    wrong |= Q(saga_status=SagaStatus.COMPENSATED) & ~Q(status=OrderStatus.CANCELLED)
    orders = Order.objects.annotate(saga_status=Subquery(saga_status)).filter(wrong)
    for order, status, saga in orders.values_list("pk", "status", "saga_status"):
        yield f"Order {order} is {status}, and its saga is {saga}."
