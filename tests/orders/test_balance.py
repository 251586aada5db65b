"""The books of all services agree with the orders, and each disagreement is seen."""

from __future__ import annotations

from uuid import uuid4

import pytest

from orders.demo.balance import differences
from orders.models import (
    BookingStatus,
    CarrierBooking,
    ChargeStatus,
    GatewayCharge,
    Order,
    OrderStatus,
    Payment,
    PaymentStatus,
    Product,
    Shipment,
    ShipmentStatus,
)
from orders.services import deliver_order, return_order
from orders.trouble import Trouble

pytestmark = pytest.mark.django_db


def test_nothing_balances_nothing():
    assert list(differences()) == []


def test_orders_of_every_fate_balance(place, come_to_rest):
    place()
    place(Trouble.CARD_DECLINED)
    place(Trouble.PAYMENT_UNKNOWN)
    deliver_order(place(cup=1).pk)
    return_order(deliver_order(place(cup=1).pk).pk)
    come_to_rest()

    assert set(Order.objects.values_list("status", flat=True)) == {
        "confirmed",
        "cancelled",
        "delivered",
        "returned",
    }
    assert list(differences()) == []


def _charge_twice(order):
    GatewayCharge.objects.create(
        idempotency_key=str(uuid4()), order_id=order.pk, amount=order.total, status=ChargeStatus.CAPTURED
    )


def _book_twice(order):
    CarrierBooking.objects.create(
        idempotency_key=str(uuid4()), order_id=order.pk, status=BookingStatus.BOOKED
    )


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_charge_twice, "The gateway keeps money for order {id}: 49.80. The completed orders say 24.90."),
        (
            lambda order: GatewayCharge.objects.update(status=ChargeStatus.REFUNDED),
            "The gateway keeps money for order {id}: 0. The completed orders say 24.90.",
        ),
        (
            lambda order: Payment.objects.update(status=PaymentStatus.REFUNDED),
            "Payments keeps money for order {id}: 0. The completed orders say 24.90.",
        ),
        (_book_twice, "The carrier has parcels for order {id}: 2. The completed orders say 1."),
        (
            lambda order: Shipment.objects.update(status=ShipmentStatus.CANCELLED),
            "Shipping has parcels for order {id}: 0. The completed orders say 1.",
        ),
        (
            lambda order: Product.objects.filter(sku="teapot").update(stock=8),
            "The shelf lacks units of teapot: 2. The completed orders say 1.",
        ),
    ],
)
def test_one_wrong_entry_is_one_sentence(place, spoil, sentence):
    order = place(teapot=1)

    spoil(order)

    assert list(differences()) == [sentence.format(id=order.pk)]


def test_an_order_that_contradicts_its_saga_is_seen(place):
    order = place(Trouble.CARD_DECLINED)

    Order.objects.update(status=OrderStatus.ACCEPTED)

    assert list(differences()) == [f"Order {order.pk} is accepted, and its saga is compensated."]
