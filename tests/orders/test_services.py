"""What the shop takes, and what it refuses."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from orders import services
from orders.exceptions import NothingOrdered, TooMuch, UnknownProduct, WrongAddress, WrongQuantity
from orders.models import Order, Product
from orders.services import place_order
from orders.trouble import Trouble
from sagas.models import Saga
from tests.orders.conftest import saga_of

pytestmark = pytest.mark.django_db


def test_an_order_and_its_saga_are_written_together(shelf, operator):
    order = place_order("customer@example.com", {"teapot": 2, "cup": 1}, by=operator)

    assert order.total == Decimal("56.30")
    saga = saga_of(order)
    assert saga.key == f"order:{order.pk}"
    assert saga.input == {
        "order_id": str(order.pk),
        "email": "customer@example.com",
        "lines": [{"sku": "teapot", "quantity": 2}, {"sku": "cup", "quantity": 1}],
        "total": "56.30",
        "trouble": "none",
    }


def test_where_no_saga_can_start_there_is_no_order(shelf, monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("no saga today")

    monkeypatch.setattr(services, "start", refuse)
    with pytest.raises(RuntimeError):
        place_order("customer@example.com", {"teapot": 1})

    assert not Order.objects.exists()


def test_where_the_caller_rolls_back_there_is_neither_order_nor_saga(shelf):
    class Regret(Exception):
        pass

    def change_my_mind() -> None:
        with transaction.atomic():
            place_order("customer@example.com", {"teapot": 1})
            raise Regret

    with pytest.raises(Regret):
        change_my_mind()

    assert not Order.objects.exists()
    assert not Saga.objects.exists()


@pytest.mark.parametrize(
    ("quantities", "refusal", "text"),
    [
        ({}, NothingOrdered, "The order has no lines. Order at least one product."),
        ({"cup": 0}, WrongQuantity, "0 of cup cannot be ordered. Order between 1 and 1000."),
        ({"cup": 1001}, WrongQuantity, "1001 of cup cannot be ordered. Order between 1 and 1000."),
        (
            {"cup": 1, "spoon": 1, "fork": 1},
            UnknownProduct,
            "The shop does not sell fork, spoon. Choose from its products.",
        ),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_in_a_sentence(shelf, quantities, refusal, text):
    with pytest.raises(refusal) as caught:
        place_order("customer@example.com", quantities)

    assert str(caught.value) == text
    assert not Order.objects.exists()


def test_an_order_beyond_the_books_is_refused(shelf):
    Product.objects.filter(sku="cup").update(price=Decimal("100000"))

    with pytest.raises(TooMuch, match=r"The order comes to 100000000\.00 €"):
        place_order("customer@example.com", {"cup": 1000})


def test_trouble_is_kept_with_the_order(shelf):
    order = place_order("customer@example.com", {"cup": 1}, trouble=Trouble.CARD_DECLINED)

    assert Order.objects.get(pk=order.pk).trouble == Trouble.CARD_DECLINED
    assert saga_of(order).input["trouble"] == "card_declined"


@pytest.mark.parametrize("email", ["nobody", "", f"{'x' * 60}@{'.'.join(['y' * 60] * 4)}.example"])
def test_an_order_of_nobody_who_can_be_written_to_is_refused(shelf, email):
    with pytest.raises(WrongAddress, match="is no e-mail address"):
        place_order(email, {"cup": 1})


@pytest.mark.parametrize("change", [{"stock": 11}, {"stock": -1}])
def test_the_database_keeps_stock_between_nothing_and_what_was_supplied(shelf, change):
    with pytest.raises(IntegrityError), transaction.atomic():
        Product.objects.filter(sku="cup").update(**change)
