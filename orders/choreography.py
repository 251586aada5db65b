"""The same order without a conductor: each service hears of what the one before it did, and does its part.

    order.created → inventory.reserved → payment.charged → shipment.created → order.completed

and where one refuses, the way back is a chain too:

    shipment.refused → payment.refunded → inventory.released → order.cancelled

Each part is known by a key made of its order, so that it is done once however often its event comes. A
person who has an order undone while it is under way sends the events that end in ``.undo``.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from orders.inputs import PlaceOrderInput
from orders.models import Order, OrderStatus
from orders.participants import inventory, payments, shipping
from orders.participants.carrier import BookingTakenBack, NoBookings
from orders.participants.gateway import AnswerLost, CardDeclined, ChargeTakenBack
from orders.participants.inventory import OutOfStock
from orders.policies import TIRELESS
from orders.steps import TRUSTED_UP_TO
from sagas import Choreography, Event, Expect, PermanentFailure, RetryLater, publish, subscribe
from sagas.keys import case_id

SOON = timedelta(minutes=5)
MOST_TRIES = 4
"""After so many calls without a usable answer a service refuses, and undoes what it may have done."""

ORDER = Choreography(
    "orders.choreography",
    starts="order.created",
    ends="order.completed",
    undone="order.cancelled",
    expects=[
        Expect("inventory.reserved", after="order.created", within=SOON),
        Expect("payment.charged", after="inventory.reserved", within=SOON),
        Expect("shipment.created", after="payment.charged", within=SOON),
    ],
)


def begin(order: Order) -> UUID:
    """Tell that there is an order, in the transaction that writes it down; return the id of its saga."""
    data = PlaceOrderInput(order).data
    publish(Event("order.created", data, key=str(order.pk), correlation_id=str(order.pk)))
    return case_id(str(order.pk))


@subscribe("order.created", name="inventory.reserve", retry=TIRELESS)
def reserve(event: Event) -> None:
    """Take the goods off the shelf."""
    order = event.data
    Order.objects.filter(pk=order["order_id"], status=OrderStatus.PLACED).update(status=OrderStatus.ACCEPTED)
    try:
        inventory.reserve(
            _key(event, "goods"), order_id=order["order_id"], lines=order["lines"], trouble=order["trouble"]
        )
    except (OutOfStock, PermanentFailure) as refusal:
        _tell(event, "inventory.refused", why=str(refusal))
    else:
        _tell(event, "inventory.reserved")


@subscribe("inventory.reserved", name="payments.charge", retry=TIRELESS, atomic=False)
def charge(event: Event) -> None:
    """Charge the customer; refund what may have been charged if no answer says whether it was."""
    order = event.data
    amount, key = Decimal(order["total"]), _key(event, "money")
    if amount > TRUSTED_UP_TO:
        return _tell(event, "payment.refused", why=f"{amount} € is more than is charged without a word.")
    try:
        payments.charge(key, order_id=order["order_id"], amount=amount, trouble=order["trouble"])
    except (CardDeclined, ChargeTakenBack, PermanentFailure) as refusal:
        return _tell(event, "payment.refused", why=str(refusal))
    except AnswerLost as silence:
        if event.attempt < MOST_TRIES:
            raise
        payments.refund(key, order_id=order["order_id"])
        return _tell(event, "payment.refused", why=str(silence))
    return _tell(event, "payment.charged")


@subscribe("payment.charged", name="shipping.book", retry=TIRELESS, atomic=False)
def book(event: Event) -> None:
    """Book the parcel; call off what may have been booked if the carrier takes none."""
    order = event.data
    key = _key(event, "parcel")
    try:
        shipping.book(key, order_id=order["order_id"], attempt=event.attempt, trouble=order["trouble"])
    except (BookingTakenBack, PermanentFailure) as refusal:
        return _tell(event, "shipment.refused", why=str(refusal))
    except NoBookings as refusal:
        if event.attempt < MOST_TRIES:
            raise RetryLater(str(refusal)) from refusal
        shipping.cancel(key, order_id=order["order_id"])
        return _tell(event, "shipment.refused", why=str(refusal))
    return _tell(event, "shipment.created")


@subscribe("shipment.created", name="orders.confirm", retry=TIRELESS)
def confirm(event: Event) -> None:
    """Tell the customer that the goods are paid and booked."""
    _orders(event).filter(status=OrderStatus.ACCEPTED).update(status=OrderStatus.CONFIRMED)
    _tell(event, "order.completed")


@subscribe("shipment.refused", name="payments.refund", retry=TIRELESS, atomic=False)
def refund(event: Event) -> None:
    """Give the customer's money back."""
    payments.refund(_key(event, "money"), order_id=event.data["order_id"])
    _tell(event, "payment.refunded")


@subscribe("payment.refused", name="inventory.release_unpaid", retry=TIRELESS)
@subscribe("payment.refunded", name="inventory.release_refunded", retry=TIRELESS)
def release(event: Event) -> None:
    """Put the goods back on the shelf."""
    inventory.release(_key(event, "goods"))
    _tell(event, "inventory.released")


@subscribe("inventory.refused", name="orders.cancel_unreserved", retry=TIRELESS)
@subscribe("inventory.released", name="orders.cancel_released", retry=TIRELESS)
def cancel(event: Event) -> None:
    """Tell the customer that nothing came of it."""
    _cancelled(event)
    _tell(event, "order.cancelled")


@subscribe(
    "shipment.created.undo", name="shipping.undo", retry=TIRELESS, atomic=False, undoes="shipment.created"
)
def undo_booking(event: Event) -> None:
    """Call the parcel off."""
    shipping.cancel(_key(event, "parcel"), order_id=event.data["order_id"])


@subscribe(
    "payment.charged.undo", name="payments.undo", retry=TIRELESS, atomic=False, undoes="payment.charged"
)
def undo_charge(event: Event) -> None:
    """Give the customer's money back."""
    payments.refund(_key(event, "money"), order_id=event.data["order_id"])


@subscribe("inventory.reserved.undo", name="inventory.undo", retry=TIRELESS, undoes="inventory.reserved")
def undo_reservation(event: Event) -> None:
    """Put the goods back on the shelf."""
    inventory.release(_key(event, "goods"))


@subscribe("order.created.undo", name="orders.undo", retry=TIRELESS, undoes="order.created")
def undo_order(event: Event) -> None:
    """Tell the customer that nothing came of it."""
    _cancelled(event)


def _key(event: Event, what: str) -> str:
    """Return the key under which a service does its part of an order, and finds it again to undo it."""
    return f"{event.data['order_id']}:{what}"


def _tell(event: Event, topic: str, **more: Any) -> None:
    publish(Event(topic, {**event.data, **more}, event.key))


def _orders(event: Event) -> Any:
    return Order.objects.filter(pk=event.data["order_id"])


def _cancelled(event: Event) -> None:
    _orders(event).filter(status__in=[OrderStatus.PLACED, OrderStatus.ACCEPTED]).update(
        status=OrderStatus.CANCELLED
    )
