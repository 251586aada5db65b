"""What the sagas of an order are started with.

`PlaceOrderInput` works both ways: it says what an order's saga needs to know, and checks what one was told.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from orders.trouble import Trouble


class LineInput(serializers.Serializer[Any]):
    """So many of one product."""

    sku = serializers.SlugField(source="product.sku")
    quantity = serializers.IntegerField(min_value=1)


class PlaceOrderInput(serializers.Serializer[Any]):
    """An order, as its participants need it."""

    order_id = serializers.UUIDField(source="id")
    email = serializers.EmailField()
    lines = LineInput(many=True, allow_empty=False)
    total = serializers.DecimalField(max_digits=10, decimal_places=2, min_value=Decimal("0.01"))
    trouble = serializers.ChoiceField(choices=Trouble.choices, default=Trouble.NONE)


class ReturnOrderInput(serializers.Serializer[Any]):
    """The order that comes back."""

    order_id = serializers.UUIDField()
