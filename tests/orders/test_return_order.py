"""A delivered order comes back."""

from __future__ import annotations

from uuid import uuid4

import pytest

from orders.demo.balance import differences
from orders.exceptions import NotDeliverable, NotReturnable
from orders.models import (
    ChargeStatus,
    GatewayCharge,
    Order,
    OrderStatus,
    Payment,
    PaymentStatus,
    Reservation,
    ReservationStatus,
)
from orders.sagas import ReturnOrder
from orders.services import deliver_order, return_order
from orders.trouble import Trouble
from sagas.models import Saga
from sagas.states import SagaStatus
from sagas.testing import run_saga
from tests.orders.conftest import steps_of, stock

pytestmark = pytest.mark.django_db


def _saga_of_return(order: Order) -> Saga:
    assert order.return_saga_id is not None
    return Saga.objects.get(pk=order.return_saga_id)


def test_a_returned_order_is_refunded_and_restocked(place, come_to_rest):
    order = deliver_order(place(teapot=2).pk)

    order = return_order(order.pk)
    come_to_rest()

    order.refresh_from_db()
    assert order.status == OrderStatus.RETURNED
    assert _saga_of_return(order).status == SagaStatus.COMPLETED
    assert Payment.objects.get().status == PaymentStatus.REFUNDED
    assert GatewayCharge.objects.get().status == ChargeStatus.REFUNDED
    assert Reservation.objects.get().status == ReservationStatus.RELEASED
    assert stock() == {"teapot": 10, "cup": 10}
    assert not list(differences())


def test_an_order_that_was_never_paid_is_not_refunded_and_stays_with_the_customer(place, come_to_rest):
    order = deliver_order(place(teapot=2).pk)
    Payment.objects.all().delete()

    order = return_order(order.pk)
    come_to_rest()

    order.refresh_from_db()
    assert order.status == OrderStatus.DELIVERED
    saga = _saga_of_return(order)
    assert saga.status == SagaStatus.COMPENSATED
    assert steps_of(saga) == {
        "accept_return": "compensated",
        "refund_payment": "failed",
        "release_inventory": "pending",
        "close_return": "pending",
    }
    assert GatewayCharge.objects.get().status == ChargeStatus.CAPTURED


def test_a_return_can_be_asked_for_again_after_it_was_declined(place, come_to_rest):
    order = deliver_order(place(teapot=2).pk)
    payment = Payment.objects.get()
    Payment.objects.all().delete()
    return_order(order.pk)
    come_to_rest()
    payment.save(force_insert=True)

    return_order(order.pk)
    come_to_rest()

    order.refresh_from_db()
    assert order.status == OrderStatus.RETURNED
    assert not list(differences())


def test_only_a_confirmed_order_can_be_delivered(place):
    order = place(Trouble.CARD_DECLINED)

    with pytest.raises(NotDeliverable, match=f"^Order {order.number} is cancelled; only a confirmed one"):
        deliver_order(order.pk)


def test_only_a_delivered_order_can_be_returned(place):
    order = place()

    with pytest.raises(NotReturnable, match=f"^Order {order.number} is confirmed; only a delivered one"):
        return_order(order.pk)


def test_an_order_is_returned_once_at_a_time(place):
    order = deliver_order(place().pk)
    return_order(order.pk)

    with pytest.raises(NotReturnable, match=f"^Order {order.number} is being returned already.$"):
        return_order(order.pk)


def test_a_return_of_no_order_fails(db):
    saga = run_saga(ReturnOrder, {"order_id": str(uuid4())})

    assert saga.status == SagaStatus.COMPENSATED
    assert saga.error.startswith("There is no order")
