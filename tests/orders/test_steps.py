"""Each step takes effect once per key, is undone once, and is refused when it comes after its undoing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from orders import steps
from orders.inputs import PlaceOrderInput
from orders.models import (
    BookingStatus,
    CarrierBooking,
    ChargeStatus,
    GatewayCharge,
    Order,
    OrderLine,
    OrderStatus,
    Payment,
    PaymentStatus,
    Shipment,
    ShipmentStatus,
)
from orders.participants import carrier
from orders.trouble import Trouble
from sagas import OutcomeUnknown, PermanentFailure, RetryLater, StepContext
from tests.orders.conftest import stock

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Undoable:
    """A step with its compensation, and how to see its effect."""

    action: Callable[[StepContext], Any]
    compensation: Callable[[StepContext], Any]
    before: OrderStatus
    effect: Callable[[Order], bool]


def _charged(order: Order) -> bool:
    captured = GatewayCharge.objects.filter(order_id=order.pk, status=ChargeStatus.CAPTURED).count()
    recorded = Payment.objects.filter(order_id=order.pk, status=PaymentStatus.CAPTURED).count()
    assert captured == recorded <= 1
    return bool(captured)


def _booked(order: Order) -> bool:
    booked = CarrierBooking.objects.filter(order_id=order.pk, status=BookingStatus.BOOKED).count()
    recorded = Shipment.objects.filter(order_id=order.pk, status=ShipmentStatus.BOOKED).count()
    assert booked == recorded <= 1
    return bool(booked)


def _reserved(order: Order) -> bool:
    assert stock() in ({"teapot": 10, "cup": 10}, {"teapot": 8, "cup": 9})
    return stock() == {"teapot": 8, "cup": 9}


def _has(status: OrderStatus) -> Callable[[Order], bool]:
    return lambda order: Order.objects.filter(pk=order.pk, status=status).exists()


UNDOABLE = [
    Undoable(steps.accept_order, steps.cancel_order, OrderStatus.PLACED, _has(OrderStatus.ACCEPTED)),
    Undoable(steps.reserve_inventory, steps.release_inventory, OrderStatus.ACCEPTED, _reserved),
    Undoable(steps.process_payment, steps.refund_payment, OrderStatus.ACCEPTED, _charged),
    Undoable(steps.create_shipment, steps.cancel_shipment, OrderStatus.ACCEPTED, _booked),
    Undoable(steps.accept_return, steps.decline_return, OrderStatus.DELIVERED, _has(OrderStatus.RETURNING)),
]
each = pytest.mark.parametrize("step", UNDOABLE, ids=lambda step: step.action.__name__)


@pytest.fixture
def write_order(shelf) -> Callable[..., Order]:
    def write(status: OrderStatus = OrderStatus.ACCEPTED, trouble: Trouble = Trouble.NONE) -> Order:
        order = Order.objects.create(
            email="customer@example.com", total="56.30", status=status, trouble=trouble
        )
        for sku, quantity in {"teapot": 2, "cup": 1}.items():
            product = shelf[sku]
            OrderLine.objects.create(order=order, product=product, quantity=quantity, price=product.price)
        return order

    return write


def context(
    order: Order, *, key: str | None = None, undoes: str | None = None, attempt: int = 1
) -> StepContext:
    return StepContext(
        saga_id=uuid4(),
        key=f"order:{order.pk}",
        input=dict(PlaceOrderInput(order).data),
        results={},
        attempt=attempt,
        idempotency_key=key or str(uuid4()),
        undoes=undoes,
    )


@each
def test_an_action_that_is_repeated_takes_effect_once(step, write_order):
    order = write_order(step.before)
    ctx = context(order)

    first = step.action(ctx)
    second = step.action(ctx)

    assert step.effect(order)
    assert first == second


@each
def test_a_compensation_that_is_repeated_undoes_once(step, write_order):
    order, key = write_order(step.before), str(uuid4())
    step.action(context(order, key=key))

    for _ in range(2):
        step.compensation(context(order, undoes=key))
        assert not step.effect(order)


@each
def test_an_action_that_comes_after_its_compensation_is_refused(step, write_order):
    order, key = write_order(step.before), str(uuid4())
    step.compensation(context(order, undoes=key))

    with pytest.raises(PermanentFailure):
        step.action(context(order, key=key))
    assert not step.effect(order)


@each
def test_an_action_that_is_repeated_after_its_compensation_is_refused(step, write_order):
    order, key = write_order(step.before), str(uuid4())
    step.action(context(order, key=key))
    step.compensation(context(order, undoes=key))

    with pytest.raises(PermanentFailure):
        step.action(context(order, key=key))
    assert not step.effect(order)


def test_a_charge_that_payments_never_heard_of_is_refunded(write_order):
    order, key = write_order(trouble=Trouble.PAYMENT_UNKNOWN), str(uuid4())
    with pytest.raises(OutcomeUnknown, match="did not answer"):
        steps.process_payment(context(order, key=key))
    assert GatewayCharge.objects.get().status == ChargeStatus.CAPTURED

    steps.refund_payment(context(order, undoes=key))

    assert GatewayCharge.objects.get().status == ChargeStatus.REFUNDED


def test_a_lost_answer_is_lost_once(write_order):
    ctx = context(write_order(trouble=Trouble.PAYMENT_TIMEOUT))
    with pytest.raises(OutcomeUnknown):
        steps.process_payment(ctx)

    assert steps.process_payment(ctx)["amount"] == "56.30"
    assert GatewayCharge.objects.count() == Payment.objects.count() == 1


def test_a_reservation_that_cannot_have_every_line_has_none(write_order, shelf):
    order = write_order()
    type(shelf["teapot"]).objects.filter(sku="teapot").update(stock=1)

    with pytest.raises(PermanentFailure, match="asks for 2 of teapot, and 1 are left"):
        steps.reserve_inventory(context(order))
    assert stock() == {"teapot": 1, "cup": 10}


def test_a_declined_card_is_a_permanent_failure(write_order):
    with pytest.raises(PermanentFailure, match="insufficient funds"):
        steps.process_payment(context(write_order(trouble=Trouble.CARD_DECLINED)))


def test_a_carrier_that_answers_no_has_booked_nothing_for_sure(write_order):
    with pytest.raises(RetryLater):
        steps.create_shipment(context(write_order(trouble=Trouble.CARRIER_DOWN), attempt=9))


def test_an_outage_of_the_carrier_ends(write_order):
    order, key = write_order(trouble=Trouble.CARRIER_OUTAGE), str(uuid4())
    for attempt in range(1, carrier.OUTAGE_ENDS_WITH_ATTEMPT):
        with pytest.raises(ConnectionError):
            steps.create_shipment(context(order, key=key, attempt=attempt))

    steps.create_shipment(context(order, key=key, attempt=carrier.OUTAGE_ENDS_WITH_ATTEMPT))
    assert _booked(order)


def test_fraud_screening_refuses_what_is_too_large(write_order):
    order = write_order()
    assert asyncio.run(steps.screen_for_fraud(context(order))) == {"risk": "0.01"}

    order.total = steps.TRUSTED_UP_TO + 1
    with pytest.raises(PermanentFailure, match="a person has to take it"):
        asyncio.run(steps.screen_for_fraud(context(order)))


def test_an_order_that_is_cancelled_is_not_confirmed(write_order):
    with pytest.raises(
        PermanentFailure, match="is cancelled, and only one that is accepted can be confirmed"
    ):
        steps.confirm_order(context(write_order(OrderStatus.CANCELLED)))


def test_cancelling_leaves_an_order_alone_that_another_saga_confirmed(write_order):
    order = write_order(OrderStatus.CONFIRMED)

    steps.cancel_order(context(order, undoes=str(uuid4())))

    order.refresh_from_db()
    assert order.status == OrderStatus.CONFIRMED
