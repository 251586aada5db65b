"""The sagas of an order."""

from __future__ import annotations

from datetime import timedelta

from orders import choreography, steps
from orders.inputs import PlaceOrderInput, ReturnOrderInput
from orders.policies import BRISK, TIRELESS
from sagas import Parallel, Participant, SagaDefinition, Step, register

__all__ = ["PlaceOrder", "ReturnOrder", "choreography"]

# The services answer at once or not at all, and refuse what they have undone before: an attempt that got no
# answer need not be waited for.
ON_THE_WIRE = timedelta(seconds=2)

INVENTORY = Participant("inventory", max_inflight=ON_THE_WIRE)
PAYMENTS = Participant("payments", resend=timedelta(hours=24), max_inflight=ON_THE_WIRE)
CARRIER = Participant("carrier", resend=timedelta(hours=24), max_inflight=ON_THE_WIRE)


@register
class PlaceOrder(SagaDefinition):
    """Take an order from placed to confirmed, or leave no trace of it."""

    name = "orders.place_order"
    version = 1
    input = PlaceOrderInput
    key = "order:{order_id}"
    steps = (
        Step(steps.accept_order, compensation=steps.cancel_order, undo_retry=TIRELESS),
        Parallel(
            Step(
                steps.reserve_inventory,
                compensation=steps.release_inventory,
                participant=INVENTORY,
                retry=BRISK,
                undo_retry=TIRELESS,
            ),
            Step(steps.screen_for_fraud, read_only=True, retry=BRISK, timeout=timedelta(seconds=5)),
        ),
        Step(
            steps.process_payment,
            compensation=steps.refund_payment,
            participant=PAYMENTS,
            retry=BRISK,
            timeout=timedelta(seconds=20),
            undo_retry=TIRELESS,
        ),
        Step(
            steps.create_shipment,
            compensation=steps.cancel_shipment,
            participant=CARRIER,
            retry=BRISK,
            undo_retry=TIRELESS,
        ),
        Step(steps.confirm_order, pivot=True, retry=TIRELESS),
    )


@register
class ReturnOrder(SagaDefinition):
    """Take a delivered order back: the money to the customer, the goods to the shelf."""

    name = "orders.return_order"
    version = 1
    input = ReturnOrderInput
    key = "order:{order_id}"
    steps = (
        Step(steps.accept_return, compensation=steps.decline_return, undo_retry=TIRELESS),
        # What undoes a charge gives the money back here too; from then on the return is settled.
        Step(steps.refund_payment, pivot=True, participant=PAYMENTS, retry=TIRELESS),
        Step(steps.release_inventory, participant=INVENTORY, retry=TIRELESS),
        Step(steps.close_return, retry=TIRELESS),
    )
