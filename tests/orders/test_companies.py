"""The outside companies keep their word about keys, whoever asks."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import transaction

from orders.models import BookingStatus, CarrierBooking, ChargeStatus, GatewayCharge
from orders.participants import carrier, gateway
from orders.participants.carrier import BookingTakenBack
from orders.participants.gateway import ChargeTakenBack

pytestmark = pytest.mark.django_db

ORDER = str(uuid4())
AMOUNT = Decimal("56.30")


def test_a_charge_that_is_repeated_is_answered_alike_and_made_once():
    key = str(uuid4())

    first = gateway.charge(key, order_id=ORDER, amount=AMOUNT)
    again = gateway.charge(key, order_id=ORDER, amount=AMOUNT)

    assert first.reference == again.reference == GatewayCharge.objects.get().reference
    assert (first.first, again.first) == (True, False)


def test_what_goes_wrong_once_goes_wrong_with_the_first_charge_of_an_order_alone():
    gateway.charge(str(uuid4()), order_id=ORDER, amount=AMOUNT)

    assert not gateway.charge(str(uuid4()), order_id=ORDER, amount=AMOUNT).first
    assert gateway.charge(str(uuid4()), order_id=str(uuid4()), amount=AMOUNT).first


@pytest.mark.parametrize(("charged", "ends"), [(True, ChargeStatus.REFUNDED), (False, ChargeStatus.VOIDED)])
def test_the_gateway_charges_nothing_under_a_key_that_was_taken_back(charged, ends):
    key = str(uuid4())
    if charged:
        gateway.charge(key, order_id=ORDER, amount=AMOUNT)
    gateway.refund(key, order_id=ORDER)
    gateway.refund(key, order_id=ORDER)

    with pytest.raises(ChargeTakenBack, match="does not charge it again"):
        gateway.charge(key, order_id=ORDER, amount=AMOUNT)
    assert GatewayCharge.objects.get().status == ends


@pytest.mark.parametrize(("booked", "ends"), [(True, BookingStatus.CANCELLED), (False, BookingStatus.VOIDED)])
def test_the_carrier_books_nothing_under_a_key_that_was_cancelled(booked, ends):
    key = str(uuid4())
    if booked:
        carrier.book(key, order_id=ORDER, attempt=1)
    carrier.cancel(key, order_id=ORDER)
    carrier.cancel(key, order_id=ORDER)

    with pytest.raises(BookingTakenBack, match="does not book it again"):
        carrier.book(key, order_id=ORDER, attempt=1)
    assert CarrierBooking.objects.get().status == ends


@pytest.mark.django_db(transaction=True)
def test_the_books_of_other_companies_take_no_part_in_a_transaction_of_ours():
    for call in (
        lambda: gateway.charge(str(uuid4()), order_id=ORDER, amount=AMOUNT),
        lambda: gateway.refund(str(uuid4()), order_id=ORDER),
        lambda: carrier.book(str(uuid4()), order_id=ORDER, attempt=1),
        lambda: carrier.cancel(str(uuid4()), order_id=ORDER),
    ):
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
            call()
