"""The shop in the admin."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from orders.models import Order, OrderStatus, Product
from orders.services import deliver_order

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client, operator):
    client.force_login(operator)
    return client


def _act(client, action: str, *orders: Order) -> list[str]:
    response = client.post(
        reverse("admin:orders_order_changelist"),
        {"action": action, "_selected_action": [str(order.pk) for order in orders]},
        follow=True,
    )
    return [str(message) for message in response.context["messages"]]


@pytest.mark.parametrize(
    "model", ["product", "order", "reservation", "payment", "shipment", "gatewaycharge", "carrierbooking"]
)
def test_every_book_can_be_read(admin, place, model):
    place()

    page = admin.get(reverse(f"admin:orders_{model}_changelist"))
    assert page.status_code == 200
    first = page.context["cl"].result_list[0]
    assert admin.get(reverse(f"admin:orders_{model}_change", args=[first.pk])).status_code == 200


def test_an_order_links_to_its_saga(admin, place):
    order = place()

    page = admin.get(reverse("admin:orders_order_change", args=[order.pk]))
    assert reverse("admin:sagas_saga_change", args=[order.saga_id]) in page.content.decode()


def test_an_order_is_found_by_its_id_and_by_its_customer(admin, place):
    order = place()
    search = reverse("admin:orders_order_changelist")

    words_and_finds = [(order.pk, 1), (order.saga_id, 1), (uuid4(), 0), ("customer@", 1), ("somebody", 0)]
    for words, found in words_and_finds:
        assert len(admin.get(search, {"q": words}).context["cl"].result_list) == found


def test_nobody_edits_an_order_by_hand(admin, place):
    order = place()

    admin.post(reverse("admin:orders_order_change", args=[order.pk]), {"status": "returned"})
    assert admin.get(reverse("admin:orders_order_add")).status_code == 403
    order.refresh_from_db()
    assert order.status == OrderStatus.CONFIRMED


def test_orders_are_delivered_and_taken_back(admin, place, come_to_rest):
    order = place()

    assert _act(admin, "deliver", order) == ["1 order is delivered."]
    assert _act(admin, "take_back", order) == ["1 order is being taken back."]

    come_to_rest()
    order.refresh_from_db()
    assert order.status == OrderStatus.RETURNED


def test_what_was_refused_is_told_beside_what_was_done(admin, place):
    confirmed, delivered = place(cup=1), place(cup=1)
    deliver_order(delivered.pk)

    assert sorted(_act(admin, "deliver", confirmed, delivered)) == [
        "1 order is delivered.",
        f"Order {delivered.number} is delivered; only a confirmed one can be delivered.",
    ]


def test_whoever_may_only_look_is_offered_no_action(client, place):
    order = place()
    clerk = User.objects.create(username="clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_order"))
    client.force_login(clerk)

    _act(client, "deliver", order)

    order.refresh_from_db()
    assert order.status == OrderStatus.CONFIRMED


def test_products_are_restocked_and_their_stock_is_not_typed_in(admin, shelf):
    product = shelf["cup"]
    change = reverse("admin:orders_product_change", args=[product.pk])
    admin.post(change, {"sku": "cup", "name": "Mug", "price": "7.00", "stock": "999", "supplied": "999"})
    admin.post(
        reverse("admin:orders_product_changelist"), {"action": "restock", "_selected_action": [product.pk]}
    )

    product = Product.objects.get(sku="cup")
    assert (product.name, product.stock, product.supplied) == ("Mug", 20, 20)
