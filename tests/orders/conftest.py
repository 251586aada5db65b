from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from orders.models import Order, Product
from orders.participants import carrier, gateway, inventory
from orders.services import place_order
from orders.trouble import Trouble
from sagas.models import Saga
from sagas.states import AT_WORK
from sagas.testing import advance

PlaceAndWatch = Callable[..., Order]


@pytest.fixture(autouse=True)
def no_latency(monkeypatch):
    """The outside companies answer at once: their slowness is for people to watch."""
    for company in (gateway, carrier):
        monkeypatch.setattr(company, "LATENCY", timedelta(0))


@pytest.fixture
def shelf(db) -> dict[str, Product]:
    """Ten teapots and ten cups."""
    products = {}
    for sku, price in {"teapot": "24.90", "cup": "6.50"}.items():
        Product.objects.create(sku=sku, name=sku.title(), price=Decimal(price))
        inventory.restock(sku, 10)
        products[sku] = Product.objects.get(sku=sku)
    return products


@pytest.fixture
def operator(db) -> User:
    """Someone who may do everything."""
    return User.objects.create(username="operator", is_staff=True, is_superuser=True)


@pytest.fixture
def come_to_rest() -> Callable[[], None]:
    """Drive every saga until it has ended or waits for a person, however long its waits are."""

    def drive() -> None:
        advance(timedelta(0))
        for _ in range(60):
            if not Saga.objects.filter(status__in=AT_WORK).exists():
                return
            advance(timedelta(seconds=1))
        raise AssertionError("Some saga is still at work after a minute.")

    return drive


@pytest.fixture
def place(shelf, come_to_rest) -> PlaceAndWatch:
    """Place an order and drive its saga to the end."""

    def place(trouble: Trouble = Trouble.NONE, **quantities: int) -> Order:
        order = place_order("customer@example.com", quantities or {"teapot": 2, "cup": 1}, trouble=trouble)
        come_to_rest()
        order.refresh_from_db()
        return order

    return place


def stock() -> dict[str, int]:
    """What is free on the shelf."""
    return dict(Product.objects.values_list("sku", "stock"))


def saga_of(order: Order) -> Saga:
    """The saga that moves the order."""
    assert order.saga_id is not None
    return Saga.objects.get(pk=order.saga_id)


def steps_of(saga: Saga) -> dict[str, str]:
    """Where each step of a saga stands."""
    return dict(saga.steps.order_by("stage", "pk").values_list("name", "status"))
