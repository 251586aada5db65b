"""The inventory: takes goods off the shelf for an order, and puts them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import F

from orders.models import Product, Reservation, ReservationLine, ReservationStatus
from orders.trouble import Trouble
from sagas.participants import effect_once, undo_once


class OutOfStock(Exception):
    """The shelf holds less than the order asks for."""


def reserve(
    key: str, *, order_id: str, lines: Iterable[Mapping[str, Any]], trouble: str = Trouble.NONE
) -> dict[str, Any]:
    """Take every line off the shelf, or none of them: raise `OutOfStock`."""
    if trouble == Trouble.OUT_OF_STOCK:
        raise OutOfStock("The shelf was found empty, as the order asked for.")
    return effect_once(key, lambda: _take(key, order_id, lines))


@transaction.atomic
def release(key: str) -> None:
    """Put back what was taken under `key`, if anything was, and refuse it from now on."""
    undo_once(key, lambda result: None)
    # By the books and not by the key's record: that expires, and an order may come back later still.
    held = Reservation.objects.filter(idempotency_key=key, status=ReservationStatus.HELD)
    if held.update(status=ReservationStatus.RELEASED):
        _put_back(key)


def key_of(order_id: str) -> str | None:
    """Return the key under which goods were taken for an order, or None."""
    reservations = Reservation.objects.filter(order_id=order_id).order_by("-pk")
    return reservations.values_list("idempotency_key", flat=True).first()


def restock(sku: str, quantity: int) -> None:
    """Bring a delivery to the shelf."""
    Product.objects.filter(sku=sku).update(stock=F("stock") + quantity, supplied=F("supplied") + quantity)


def _take(key: str, order_id: str, lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    reservation = Reservation.objects.create(idempotency_key=key, order_id=order_id)
    # In one order everywhere, so that two reservations never wait for each other.
    for line in sorted(lines, key=lambda line: line["sku"]):
        _take_line(reservation, line["sku"], line["quantity"])
    return {"reservation": reservation.pk}


def _take_line(reservation: Reservation, sku: str, quantity: int) -> None:
    # Compared and subtracted by one statement: no two reservations can both take the last unit.
    taken = Product.objects.filter(sku=sku, stock__gte=quantity).update(stock=F("stock") - quantity)
    product = Product.objects.filter(sku=sku).first()
    if product is None or not taken:
        left = product.stock if product else 0
        raise OutOfStock(f"The order asks for {quantity} of {sku}, and {left} are left.")
    ReservationLine.objects.create(reservation=reservation, product=product, quantity=quantity)


def _put_back(key: str) -> None:
    lines = ReservationLine.objects.filter(reservation__idempotency_key=key).order_by("product__sku")
    for product, quantity in lines.values_list("product", "quantity"):
        Product.objects.filter(pk=product).update(stock=F("stock") + quantity)
