"""The shop's REST API: place orders, and see what became of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rest_framework import mixins, serializers, status, viewsets
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from orders.exceptions import OrderRefused
from orders.models import Order, OrderLine
from orders.services import MOST_OF_ONE_PRODUCT, place_order
from orders.trouble import Trouble
from sagas.api.problems import ProblemViews
from sagas.api.serializers import RowSerializer, StrictSerializer


class OrderPermissions(DjangoModelPermissions):
    """Looking needs the view permission too, which Django REST framework does not ask for by itself."""

    perms_map = {
        **DjangoModelPermissions.perms_map,
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
    }


class NewLineSerializer(StrictSerializer):
    """A line to be ordered."""

    sku = serializers.SlugField()
    quantity = serializers.IntegerField(min_value=1, max_value=MOST_OF_ONE_PRODUCT)


class NewOrderSerializer(StrictSerializer):
    """An order to be placed."""

    email = serializers.EmailField(max_length=254)
    lines = NewLineSerializer(many=True, allow_empty=False)
    trouble = serializers.ChoiceField(choices=Trouble.choices, default=Trouble.NONE)

    def validate_lines(self, lines: list[dict[str, Any]]) -> dict[str, int]:
        """Return the quantity of each SKU."""
        if twice := [sku for sku, times in Counter(line["sku"] for line in lines).items() if times > 1]:
            raise serializers.ValidationError(
                f"{', '.join(twice)} stands in more than one line. Order each product in one.",
                code="repeated",
            )
        return {line["sku"]: line["quantity"] for line in lines}


class LineSerializer(RowSerializer):
    """A line as it was ordered."""

    sku = serializers.SlugField(source="product.sku", read_only=True)

    class Meta:
        model = OrderLine
        fields = ("sku", "quantity", "price")


class OrderSerializer(RowSerializer):
    """An order and the links to what moves it."""

    url = serializers.HyperlinkedIdentityField(view_name="order-detail")
    lines = LineSerializer(many=True, read_only=True)
    saga = serializers.SerializerMethodField()

    class Meta:
        model = Order
        fields = ("id", "number", "url", "email", "status", "total", "trouble", "lines", "saga", "placed_at")

    def get_saga(self, order: Order) -> str | None:
        """Return the address of the saga that moves the order."""
        if order.saga_id is None:
            return None
        return reverse("saga-detail", args=[order.saga_id], request=self.context["request"])


class OrderPagination(CursorPagination):
    """Newest first."""

    ordering = ("-placed_at", "-id")
    page_size = 50


class OrderViewSet(
    ProblemViews, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Order]
):
    """Place an order, and follow it."""

    queryset = Order.objects.prefetch_related("lines__product")
    serializer_class = OrderSerializer
    pagination_class = OrderPagination
    permission_classes = (OrderPermissions,)

    def create(self, request: Request) -> Response:
        """Write the order down and start its saga: 201, for the order exists; its saga goes on by itself."""
        form = NewOrderSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        try:
            order = place_order(
                asked["email"], asked["lines"], trouble=Trouble(asked["trouble"]), by=request.user
            )
        except OrderRefused as refusal:
            raise serializers.ValidationError(
                {"lines": [serializers.ErrorDetail(str(refusal), code=refusal.code)]}
            ) from refusal
        body = self.get_serializer(order).data
        # A plain string: WSGI servers refuse a subclass, as the link in the body is.
        return Response(body, status=status.HTTP_201_CREATED, headers={"Location": str(body["url"])})
