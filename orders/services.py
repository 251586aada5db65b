"""What can be asked of the shop. Each refuses with an `OrderRefused`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import prefetch_related_objects

from orders import choreography
from orders.exceptions import (
    NotDeliverable,
    NothingOrdered,
    NotReturnable,
    TooMuch,
    UnknownProduct,
    WrongAddress,
    WrongQuantity,
)
from orders.inputs import PlaceOrderInput
from orders.models import Order, OrderLine, OrderStatus, Product
from orders.sagas import PlaceOrder, ReturnOrder
from orders.trouble import Trouble
from sagas import start
from sagas.exceptions import DuplicateKey
from sagas.operations.actors import By

MOST_OF_ONE_PRODUCT = 1000
LARGEST_TOTAL = Decimal("99999999.99")


class Pattern(StrEnum):
    """Who leads an order to its end."""

    ORCHESTRATION = "orchestration"
    """A saga with a list of steps."""
    CHOREOGRAPHY = "choreography"
    """Nobody: each service hears of what the one before it did."""


@transaction.atomic
def place_order(
    email: str,
    quantities: Mapping[str, int],
    *,
    trouble: Trouble = Trouble.NONE,
    by: By = None,
    pattern: Pattern = Pattern.ORCHESTRATION,
) -> Order:
    """Write down an order of so many units per SKU, and start the saga that brings it to an end.

    As a choreography, the saga begins with the event that tells of the order.

    Both are written in one transaction, the caller's if there is one: no order is without a saga, and no saga
    without an order.
    """
    _check_address(email)
    products = _products(quantities)
    order = Order(email=email, trouble=trouble)
    lines = [
        OrderLine(order=order, product=products[sku], quantity=quantity, price=products[sku].price)
        for sku, quantity in quantities.items()
    ]
    order.total = sum((line.price * line.quantity for line in lines), Decimal(0))
    if order.total > LARGEST_TOTAL:
        raise TooMuch(f"The order comes to {order.total} €. Split it: {LARGEST_TOTAL} € is the most.")
    order.save(force_insert=True)
    OrderLine.objects.bulk_create(lines)
    prefetch_related_objects([order], "lines__product")
    if pattern is Pattern.CHOREOGRAPHY:
        order.saga_id = choreography.begin(order)
    else:
        order.saga_id = start(PlaceOrder, PlaceOrderInput(order).data, by=by).pk
    order.save(update_fields=["saga_id"])
    return order


@transaction.atomic
def deliver_order(order_id: UUID) -> Order:
    """Note that the parcel has reached the customer."""
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.status != OrderStatus.CONFIRMED:
        raise NotDeliverable(
            f"Order {order.number} is {order.get_status_display()}; only a confirmed one can be delivered."
        )
    order.status = OrderStatus.DELIVERED
    order.save(update_fields=["status"])
    return order


@transaction.atomic
def return_order(order_id: UUID, *, by: By = None) -> Order:
    """Start the saga that takes a delivered order back."""
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.status != OrderStatus.DELIVERED:
        raise NotReturnable(
            f"Order {order.number} is {order.get_status_display()}; only a delivered one can be returned."
        )
    try:
        order.return_saga_id = start(ReturnOrder, {"order_id": str(order.pk)}, by=by).pk
    except DuplicateKey as running:
        raise NotReturnable(f"Order {order.number} is being returned already.") from running
    order.save(update_fields=["return_saga_id"])
    return order


def _check_address(email: str) -> None:
    try:
        Order._meta.get_field("email").clean(email, None)
    except ValidationError as error:
        raise WrongAddress(f"{email!r} is no e-mail address. {' '.join(error.messages)}") from error


def _products(quantities: Mapping[str, int]) -> dict[str, Product]:
    if not quantities:
        raise NothingOrdered("The order has no lines. Order at least one product.")
    for sku, quantity in quantities.items():
        if not 1 <= quantity <= MOST_OF_ONE_PRODUCT:
            raise WrongQuantity(
                f"{quantity} of {sku} cannot be ordered. Order between 1 and {MOST_OF_ONE_PRODUCT}."
            )
    products = {product.sku: product for product in Product.objects.filter(sku__in=quantities)}
    if unknown := sorted(set(quantities) - set(products)):
        raise UnknownProduct(f"The shop does not sell {', '.join(unknown)}. Choose from its products.")
    return products
