"""The shop over HTTP."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from orders.models import Order
from orders.trouble import Trouble
from tests.orders.conftest import saga_of

pytestmark = pytest.mark.django_db

URL = "/api/v1/orders/"
ORDER = {"email": "customer@example.com", "lines": [{"sku": "teapot", "quantity": 2}]}


@pytest.fixture
def client(operator) -> APIClient:
    client = APIClient()
    client.force_authenticate(operator)
    return client


def test_an_order_is_placed_and_its_saga_started(client, shelf):
    response = client.post(URL, ORDER)

    order = Order.objects.get()
    assert response.status_code == 201
    assert response["Location"] == f"http://testserver{URL}{order.pk}/"
    assert type(response["Location"]) is str  # WSGI servers take no subclass.
    assert response.json() == {
        "id": str(order.pk),
        "number": order.number,
        "url": response["Location"],
        "email": "customer@example.com",
        "status": "placed",
        "total": "49.80",
        "trouble": "none",
        "lines": [{"sku": "teapot", "quantity": 2, "price": "24.90"}],
        "saga": f"http://testserver/api/v1/sagas/{order.saga_id}/",
        "placed_at": response.json()["placed_at"],
    }
    assert client.get(response["Location"]).json() == response.json()


def test_the_link_to_the_saga_leads_to_it(client, shelf):
    body = client.post(URL, ORDER).json()

    saga = client.get(body["saga"]).json()
    assert saga["key"] == f"order:{body['id']}"


def test_an_order_can_ask_for_trouble(client, shelf):
    client.post(URL, ORDER | {"trouble": "card_declined"})

    assert Order.objects.get().trouble == Trouble.CARD_DECLINED


def test_orders_are_listed_newest_first(client, place):
    first, second = place(cup=1), place(cup=2)

    listed = client.get(URL).json()["results"]
    assert [order["id"] for order in listed] == [str(second.pk), str(first.pk)]


def test_a_list_of_orders_costs_the_same_number_of_queries_whatever_its_length(
    client, shelf, django_assert_max_num_queries
):
    for _ in range(5):
        client.post(URL, ORDER)

    with django_assert_max_num_queries(3):
        assert len(client.get(URL).json()["results"]) == 5


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"lines": ORDER["lines"]}, "/email"),
        (ORDER | {"email": "nobody"}, "/email"),
        (ORDER | {"email": f"{'x' * 60}@{'.'.join(['y' * 60] * 4)}.example"}, "/email"),
        (ORDER | {"lines": []}, "/lines"),
        (ORDER | {"lines": [{"sku": "teapot", "quantity": 0}]}, "/lines/0/quantity"),
        (ORDER | {"lines": [{"sku": "teapot", "quantity": 1001}]}, "/lines/0/quantity"),
        (ORDER | {"lines": [{"sku": "spoon", "quantity": 1}]}, "/lines"),
        (ORDER | {"lines": [{"sku": "teapot", "quantity": 1, "colour": "red"}]}, "/lines/0/colour"),
        (ORDER | {"lines": [*ORDER["lines"], *ORDER["lines"]]}, "/lines"),
        (ORDER | {"trouble": "earthquake"}, "/trouble"),
        (ORDER | {"colour": "red"}, "/colour"),
        ([ORDER], ""),
    ],
)
def test_a_wrong_order_is_refused_by_the_field_that_is_wrong(client, shelf, body, pointer):
    response = client.post(URL, body)

    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert not Order.objects.exists()


def test_what_the_shop_refuses_is_told_in_its_own_words(client, shelf):
    response = client.post(URL, ORDER | {"lines": [{"sku": "spoon", "quantity": 1}]})

    assert response.json()["errors"] == [
        {
            "pointer": "/lines",
            "code": "unknown_product",
            "detail": "The shop does not sell spoon. Choose from its products.",
        }
    ]


def test_a_stranger_neither_orders_nor_looks(shelf, place):
    order = place(cup=1)
    stranger = APIClient()

    assert stranger.get(URL).status_code == 401
    assert stranger.get(f"{URL}{order.pk}/").status_code == 401
    assert stranger.post(URL, ORDER).status_code == 401


@pytest.mark.parametrize(
    ("permission", "may_look", "may_order"), [("view_order", 200, 403), ("add_order", 403, 201)]
)
def test_looking_and_ordering_are_permissions_of_their_own(shelf, permission, may_look, may_order):
    user = User.objects.create(username="clerk")
    user.user_permissions.add(Permission.objects.get(codename=permission))
    client = APIClient()
    client.force_authenticate(user)

    assert client.get(URL).status_code == may_look
    assert client.post(URL, ORDER).status_code == may_order


def test_an_order_that_is_not_there_is_not_found(client):
    assert client.get(f"{URL}{uuid4()}/").status_code == 404
    assert client.get(f"{URL}7/").status_code == 404


def test_whoever_orders_is_known_to_the_saga(client, shelf, operator):
    client.post(URL, ORDER)

    assert "operator" in saga_of(Order.objects.get()).started_by
