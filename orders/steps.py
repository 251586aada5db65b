"""What the sagas of an order do, step by step, and how each step is undone.

Each function says in the engine's words what came of it: a dict when it is done, `PermanentFailure` when
nothing happened and nothing will, `RetryLater` when nothing did yet, `OutcomeUnknown` when nobody can say.
A compensation finds its work by the key of the action it undoes, so it is right even if that gave no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from orders.inputs import PlaceOrderInput
from orders.models import Order, OrderStatus
from orders.participants import inventory, payments, shipping
from orders.participants.carrier import BookingTakenBack, NoBookings
from orders.participants.gateway import AnswerLost, CardDeclined, ChargeTakenBack
from orders.participants.inventory import OutOfStock
from sagas import OutcomeUnknown, PermanentFailure, RetryLater, StepContext
from sagas.participants import effect_once, undo_once

TRUSTED_UP_TO = Decimal(5000)


def accept_order(ctx: StepContext) -> dict[str, Any]:
    """Take the order in hand: from here on it ends confirmed or cancelled."""
    order = _order(ctx)
    if PlaceOrderInput(order).data != ctx.input:
        raise PermanentFailure(
            f"Order {order.pk} does not say what this saga was started with. Sagas start by placing orders."
        )
    return _move(ctx, OrderStatus.PLACED, OrderStatus.ACCEPTED)


def cancel_order(ctx: StepContext) -> None:
    """Tell the customer that nothing came of it."""
    ours = [OrderStatus.PLACED, OrderStatus.ACCEPTED]
    Order.objects.filter(pk=ctx.input["order_id"], status__in=ours).update(status=OrderStatus.CANCELLED)


def reserve_inventory(ctx: StepContext) -> dict[str, Any]:
    """Take the goods off the shelf."""
    try:
        return inventory.reserve(
            ctx.idempotency_key,
            order_id=ctx.input["order_id"],
            lines=ctx.input["lines"],
            trouble=ctx.input["trouble"],
        )
    except OutOfStock as shortage:
        raise PermanentFailure(str(shortage)) from shortage


def release_inventory(ctx: StepContext) -> None:
    """Put the goods back on the shelf: of a reservation that is undone, or of an order that came back."""
    inventory.release(_undone(ctx, inventory.key_of))


async def screen_for_fraud(ctx: StepContext) -> dict[str, Any]:
    """Refuse an order that is too large to be taken without a word."""
    await asyncio.sleep(0.01)  # The screening service thinks.
    total = Decimal(ctx.input["total"])
    if total > TRUSTED_UP_TO:
        raise PermanentFailure(
            f"The order is over {total} €; above {TRUSTED_UP_TO} € a person has to take it."
        )
    return {"risk": str(round(total / TRUSTED_UP_TO, 2))}


def process_payment(ctx: StepContext) -> dict[str, Any]:
    """Charge the customer."""
    try:
        return payments.charge(
            ctx.idempotency_key,
            order_id=ctx.input["order_id"],
            amount=Decimal(ctx.input["total"]),
            trouble=ctx.input["trouble"],
        )
    except (CardDeclined, ChargeTakenBack) as refusal:
        raise PermanentFailure(str(refusal)) from refusal
    except AnswerLost as silence:
        raise OutcomeUnknown(str(silence)) from silence


def refund_payment(ctx: StepContext) -> None:
    """Give the customer's money back: of a charge that is undone, or of an order that came back."""
    payments.refund(_undone(ctx, payments.key_of), order_id=ctx.input["order_id"])


def create_shipment(ctx: StepContext) -> dict[str, Any]:
    """Book the parcel. A carrier that cannot be reached needs no translation: such errors are tried again."""
    try:
        return shipping.book(
            ctx.idempotency_key,
            order_id=ctx.input["order_id"],
            attempt=ctx.attempt,
            trouble=ctx.input["trouble"],
        )
    except BookingTakenBack as refusal:
        raise PermanentFailure(str(refusal)) from refusal
    except NoBookings as refusal:
        raise RetryLater(str(refusal)) from refusal


def cancel_shipment(ctx: StepContext) -> None:
    """Call the parcel off."""
    shipping.cancel(_undone(ctx), order_id=ctx.input["order_id"])


def confirm_order(ctx: StepContext) -> dict[str, Any]:
    """Tell the customer that the goods are paid and booked."""
    return _move(ctx, OrderStatus.ACCEPTED, OrderStatus.CONFIRMED)


def accept_return(ctx: StepContext) -> dict[str, Any]:
    """Take a delivered order back in hand."""
    # Under its key: an attempt that comes late must not reopen a return that was declined since.
    return effect_once(ctx.idempotency_key, lambda: _move(ctx, OrderStatus.DELIVERED, OrderStatus.RETURNING))


def decline_return(ctx: StepContext) -> None:
    """Leave the goods with the customer."""
    undo_once(_undone(ctx), lambda _: _move_back(ctx))


def close_return(ctx: StepContext) -> dict[str, Any]:
    """Tell the customer that the return is settled."""
    return _move(ctx, OrderStatus.RETURNING, OrderStatus.RETURNED)


def _order(ctx: StepContext) -> Order:
    order = Order.objects.prefetch_related("lines__product").filter(pk=ctx.input["order_id"]).first()
    if order is None:
        raise PermanentFailure(f"There is no order {ctx.input['order_id']}.")
    return order


def _move(ctx: StepContext, source: OrderStatus, target: OrderStatus) -> dict[str, Any]:
    """Give the order its next status. It has it already if this attempt is not the first."""
    order = Order.objects.filter(pk=ctx.input["order_id"], status__in=[source, target])
    if not order.update(status=target):
        found = _order(ctx)
        raise PermanentFailure(
            f"Order {found.pk} is {found.status}, and only one that is {source.value} can be {target.value}."
        )
    return {"status": target.value}


def _move_back(ctx: StepContext) -> None:
    _move(ctx, OrderStatus.RETURNING, OrderStatus.DELIVERED)


def _undone(ctx: StepContext, recorded_key: Callable[[str], str | None] | None = None) -> str:
    """Return the key of what is to be undone: the engine names it, or else the records of the order do."""
    key = ctx.undoes
    if key is None and recorded_key is not None:
        key = recorded_key(ctx.input["order_id"])
    if key is None:
        raise PermanentFailure(f"Order {ctx.input['order_id']} has nothing on record that could be undone.")
    return key
