"""The order story, told by its books."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from orders import steps
from orders.demo.balance import differences
from orders.models import (
    BookingStatus,
    CarrierBooking,
    ChargeStatus,
    GatewayCharge,
    OrderStatus,
    Payment,
    PaymentStatus,
    Reservation,
    ReservationStatus,
    Shipment,
    ShipmentStatus,
)
from orders.services import place_order
from orders.trouble import Trouble
from sagas import PermanentFailure
from sagas.operations.performing import perform
from sagas.states import SagaStatus
from sagas.testing import advance
from tests.orders.conftest import saga_of, steps_of, stock

pytestmark = pytest.mark.django_db

NOTHING_TAKEN = {"teapot": 10, "cup": 10}


def test_an_order_is_reserved_paid_booked_and_confirmed(place):
    order = place(teapot=2, cup=1)

    assert order.status == OrderStatus.CONFIRMED
    assert saga_of(order).status == SagaStatus.COMPLETED
    assert stock() == {"teapot": 8, "cup": 9}
    assert Payment.objects.get().amount == order.total == Decimal("56.30")
    assert GatewayCharge.objects.get().reference == Payment.objects.get().charge
    assert CarrierBooking.objects.get().tracking == Shipment.objects.get().tracking
    assert not list(differences())


def test_an_order_for_more_than_the_shelf_holds_is_cancelled_and_takes_nothing(place):
    order = place(cup=3, teapot=11)

    assert order.status == OrderStatus.CANCELLED
    assert saga_of(order).error == "The order asks for 11 of teapot, and 10 are left."
    assert stock() == NOTHING_TAKEN
    assert not Reservation.objects.exists()
    assert not GatewayCharge.objects.exists()
    assert not list(differences())


def test_an_order_can_ask_to_find_the_shelf_empty(place):
    order = place(Trouble.OUT_OF_STOCK)

    assert order.status == OrderStatus.CANCELLED
    assert stock() == NOTHING_TAKEN


def test_an_order_too_large_for_a_stranger_gives_its_goods_back(place, shelf):
    teapot = shelf["teapot"]
    teapot.price = steps.TRUSTED_UP_TO
    teapot.save()

    order = place(teapot=2)

    assert order.status == OrderStatus.CANCELLED
    assert Reservation.objects.get().status == ReservationStatus.RELEASED
    assert stock() == NOTHING_TAKEN


def test_a_declined_card_puts_the_goods_back(place):
    order = place(Trouble.CARD_DECLINED)

    assert order.status == OrderStatus.CANCELLED
    assert saga_of(order).status == SagaStatus.COMPENSATED
    assert Reservation.objects.get().status == ReservationStatus.RELEASED
    assert stock() == NOTHING_TAKEN
    assert not GatewayCharge.objects.exists()
    assert not list(differences())


def test_a_charge_whose_answer_was_lost_is_not_made_twice(place):
    order = place(Trouble.PAYMENT_TIMEOUT)

    assert order.status == OrderStatus.CONFIRMED
    assert saga_of(order).steps.get(name="process_payment").attempts == 2
    assert GatewayCharge.objects.get().status == ChargeStatus.CAPTURED
    assert not list(differences())


def test_a_charge_that_never_answers_is_given_up_and_refunded(place):
    order = place(Trouble.PAYMENT_UNKNOWN)

    assert order.status == OrderStatus.CANCELLED
    assert saga_of(order).status == SagaStatus.COMPENSATED
    assert GatewayCharge.objects.get().status == ChargeStatus.REFUNDED
    assert not Payment.objects.exists()
    assert stock() == NOTHING_TAKEN
    assert not list(differences())


def test_a_carrier_that_is_out_for_a_while_is_waited_for(place):
    order = place(Trouble.CARRIER_OUTAGE)

    assert order.status == OrderStatus.CONFIRMED
    assert saga_of(order).steps.get(name="create_shipment").attempts == 3
    assert CarrierBooking.objects.get().status == BookingStatus.BOOKED


def test_a_carrier_that_is_down_for_good_costs_the_customer_nothing(place):
    order = place(Trouble.CARRIER_DOWN)

    assert order.status == OrderStatus.CANCELLED
    assert Payment.objects.get().status == PaymentStatus.REFUNDED
    assert GatewayCharge.objects.get().status == ChargeStatus.REFUNDED
    assert Reservation.objects.get().status == ReservationStatus.RELEASED
    assert not CarrierBooking.objects.exists()
    assert stock() == NOTHING_TAKEN
    assert not list(differences())


def test_a_crash_that_is_asked_for_outside_a_worker_does_not_happen(place):
    order = place(Trouble.CRASH_AFTER_CHARGE)

    assert order.status == OrderStatus.CONFIRMED
    assert saga_of(order).steps.get(name="process_payment").crashes == 0


def test_an_order_that_cannot_be_confirmed_is_undone_from_the_last_step_to_the_first(place, monkeypatch):
    move = steps._move

    def refuse_to_confirm(ctx, source, target):
        if target is OrderStatus.CONFIRMED:
            raise PermanentFailure("The till is closed.")
        return move(ctx, source, target)

    monkeypatch.setattr(steps, "_move", refuse_to_confirm)
    order = place()

    assert order.status == OrderStatus.CANCELLED
    assert steps_of(saga_of(order)) == {
        "accept_order": "compensated",
        "reserve_inventory": "compensated",
        "screen_for_fraud": "completed",
        "process_payment": "compensated",
        "create_shipment": "compensated",
        "confirm_order": "failed",
    }
    undone = saga_of(order).steps.filter(status="compensated").order_by("undo_ended_at")
    assert list(undone.values_list("name", flat=True)) == [
        "create_shipment",
        "process_payment",
        "reserve_inventory",
        "accept_order",
    ]
    assert Shipment.objects.get().status == ShipmentStatus.CANCELLED
    assert CarrierBooking.objects.get().status == BookingStatus.CANCELLED
    assert not list(differences())


def test_the_way_back_waits_for_calls_that_may_still_be_under_way(shelf):
    order = place_order("customer@example.com", {"cup": 1}, trouble=Trouble.PAYMENT_UNKNOWN)
    for _ in range(5):
        advance(timedelta(seconds=1))
    assert saga_of(order).steps.get(name="process_payment").status == "unknown"
    assert GatewayCharge.objects.get().status == ChargeStatus.CAPTURED

    advance(timedelta(seconds=3))
    assert GatewayCharge.objects.get().status == ChargeStatus.REFUNDED


@pytest.mark.django_db(transaction=True)  # Signals are sent after the commit.
def test_an_order_whose_saga_is_turned_back_before_it_began_is_cancelled(shelf, operator, come_to_rest):
    order = place_order("customer@example.com", {"cup": 1})

    perform(saga_of(order).pk, "compensate", by=operator, reason="The customer rang up.")
    come_to_rest()

    order.refresh_from_db()
    assert saga_of(order).status == SagaStatus.COMPENSATED
    assert order.status == OrderStatus.CANCELLED
    assert not list(differences())


def test_a_saga_that_says_something_else_than_its_order_touches_nothing(shelf, come_to_rest):
    order = place_order("customer@example.com", {"cup": 1})
    type(order).objects.filter(pk=order.pk).update(total=Decimal("0.01"))
    come_to_rest()

    order.refresh_from_db()
    assert order.status == OrderStatus.PLACED
    assert "does not say what this saga was started with" in saga_of(order).error
    assert stock() == NOTHING_TAKEN
