"""The shop's REST API: place orders, and see what became of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from orders.exceptions import OrderRefused
from orders.models import Order, OrderLine
from orders.services import MOST_OF_ONE_PRODUCT, place_order
from orders.trouble import Trouble
from sagas.api.filters import PageFilter, PageSerializer
from sagas.api.headers import idempotency_key
from sagas.api.openapi.parameters import IDEMPOTENCY_KEY, reading, writing
from sagas.api.pagination import TimeCursorPagination
from sagas.api.parsers import SagaJSONParser
from sagas.api.problems import ProblemViews
from sagas.api.repeats import once
from sagas.api.serializers import RowSerializer, StrictSerializer
from sagas.api.throttles import SagaThrottle


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

    url = serializers.SerializerMethodField()
    lines = LineSerializer(many=True, read_only=True)
    saga = serializers.SerializerMethodField()

    class Meta:
        model = Order
        fields = ("id", "number", "url", "email", "status", "total", "trouble", "lines", "saga", "placed_at")

    def get_url(self, order: Order) -> str:
        """Return the address of the order."""
        return str(reverse("order-detail", args=[order.pk], request=self.context["request"]))

    def get_saga(self, order: Order) -> str | None:
        """Return the address of the saga that moves the order."""
        if order.saga_id is None:
            return None
        return str(reverse("saga-detail", args=[order.saga_id], request=self.context["request"]))


class OrderPagination(TimeCursorPagination):
    """Newest first."""

    ordering = ("-placed_at", "-id")


@extend_schema_view(
    list=extend_schema(parameters=[PageSerializer], responses=reading(OrderSerializer(many=True), 400)),
    retrieve=extend_schema(responses=reading(OrderSerializer, 404)),
    create=extend_schema(
        parameters=[IDEMPOTENCY_KEY],
        request=NewOrderSerializer,
        responses=writing({201: OrderSerializer}, 409, 422),
    ),
)
class OrderViewSet(
    ProblemViews, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Order]
):
    """Place an order, and follow it."""

    queryset = Order.objects.prefetch_related("lines__product")
    serializer_class = OrderSerializer
    pagination_class = OrderPagination
    permission_classes = (OrderPermissions,)
    parser_classes = (SagaJSONParser,)
    filter_backends = (PageFilter,)
    throttle_classes = (SagaThrottle,)
    lookup_value_regex = "[^/]+"

    @property
    def throttle_scope(self) -> str | None:
        """Whom a project may bound: an order starts a saga."""
        return "saga-start" if self.action == "create" else None

    def create(self, request: Request) -> Response:
        """Write the order down and start its saga: 201, for the order exists; its saga goes on by itself."""
        form = NewOrderSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        replayed = False
        if (key := idempotency_key(request)) is None:
            pk = self._placed(asked)
        else:
            client, place = request.user.get_username(), "POST orders"
            pk, replayed = once(
                lambda: self._placed(asked), key=key, client=client, place=place, body=request.data
            )
        body = self.get_serializer(self.get_queryset().get(pk=pk)).data
        headers = {"Location": body["url"]} | ({"Idempotency-Replayed": "true"} if replayed else {})
        return Response(body, status=status.HTTP_201_CREATED, headers=headers)

    def _placed(self, asked: dict[str, Any]) -> str:
        try:
            order = place_order(
                asked["email"], asked["lines"], trouble=Trouble(asked["trouble"]), by=self.request.user
            )
        except OrderRefused as refusal:
            raise serializers.ValidationError(
                {"lines": [serializers.ErrorDetail(str(refusal), code=refusal.code)]}
            ) from refusal
        return str(order.pk)
