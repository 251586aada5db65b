"""What the shop hears from its sagas."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from orders.models import Order, OrderStatus


def cancel_what_was_never_accepted(*, saga_id: UUID, **kwargs: Any) -> None:
    """Cancel the order of a saga that was turned back before its first step began.

    Such a saga has nothing to undo, so no compensation of its tells the customer. A receiver of
    `saga_compensated`.
    """
    Order.objects.filter(saga_id=saga_id, status=OrderStatus.PLACED).update(status=OrderStatus.CANCELLED)
