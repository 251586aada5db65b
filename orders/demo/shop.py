"""What the shop sells in the demonstration, and who runs it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from orders.models import Product
from orders.participants import inventory

OPERATOR = PASSWORD = "demo"
OPENING_STOCK = 100

PRODUCTS = {
    "teapot": ("Teapot", Decimal("24.90")),
    "cup": ("Cup", Decimal("6.50")),
    "kettle": ("Kettle", Decimal("39.00")),
    "green-tea": ("Green tea, 100 g", Decimal("8.40")),
    "black-tea": ("Black tea, 100 g", Decimal("7.20")),
    "tin": ("Tea tin", Decimal("11.75")),
}

SOLD_OUT = "rare-tea"
"""Sold, and never in stock."""


def open_shop() -> None:
    """Put the products on sale that are not there yet, with an opening stock."""
    for sku, (name, price) in PRODUCTS.items():
        _product, new = Product.objects.get_or_create(sku=sku, defaults={"name": name, "price": price})
        if new:
            inventory.restock(sku, OPENING_STOCK)
    Product.objects.get_or_create(
        sku=SOLD_OUT, defaults={"name": "Rare tea, always sold out", "price": Decimal("89.00")}
    )


def restock_for(demand: Mapping[str, int]) -> None:
    """Bring all that is going to be asked for to the shelf, but for what is never in stock."""
    for sku, units in demand.items():
        if sku != SOLD_OUT:
            inventory.restock(sku, units)


def operator() -> User:
    """Return the one who may do everything, as demo / demo. The password is no secret: for DEBUG only."""
    users = get_user_model().objects
    return users.filter(username=OPERATOR).first() or users.create_superuser(OPERATOR, password=PASSWORD)


def api_token() -> str:
    """Return the operator's key to the REST API."""
    token, _new = Token.objects.get_or_create(user=operator())
    return str(token.key)
