"""The shop in the admin: to be looked at, and to restock products, deliver orders and take them back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from orders import services
from orders.exceptions import OrderRefused
from orders.models import (
    CarrierBooking,
    GatewayCharge,
    Order,
    OrderLine,
    Payment,
    Product,
    Reservation,
    ReservationLine,
    Shipment,
)
from orders.participants import inventory

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:  # Django's own classes take no parameters at run time.
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline

DELIVERY = 10


class ReadOnly:
    """For rows that only the shop itself writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class FoundById:
    """Finds rows by a full id by the column's index, and by other words as any admin does."""

    id_fields: tuple[str, ...] = ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        try:
            wanted = UUID(search_term.strip())
        except ValueError:
            return super().get_search_results(request, queryset, search_term)  # type: ignore[misc, no-any-return]
        return queryset.filter(Q(*((field, wanted) for field in self.id_fields), _connector=Q.OR)), False


@admin.register(Product)
class ProductAdmin(ModelAdmin):
    """What is sold. Stock moves by orders and deliveries, never by typing a number over another."""

    list_display = ("sku", "name", "price", "stock", "supplied")
    search_fields = ("sku", "name")
    fields = ("sku", "name", "price", "stock", "supplied")
    readonly_fields = ("stock", "supplied")
    actions = ("restock",)

    @admin.action(
        description=_("Bring %(units)d units of the selected products to the shelf") % {"units": DELIVERY},
        permissions=["change"],
    )
    def restock(self, request: HttpRequest, queryset: QuerySet[Product]) -> None:
        products = list(queryset)
        for product in products:
            inventory.restock(product.sku, DELIVERY)
        text = ngettext("%d product was restocked.", "%d products were restocked.", len(products))
        self.message_user(request, text % len(products), messages.SUCCESS)


class OrderLineInline(ReadOnly, TabularInline):
    """What was ordered."""

    model = OrderLine
    fields = ("product", "quantity", "price")


@admin.register(Order)
class OrderAdmin(FoundById, ReadOnly, ModelAdmin):
    """Orders, each with the sagas that move it."""

    list_display = ("number", "email", "status", "total", "trouble", "placed_at", "saga")
    list_filter = ("status", "trouble", "placed_at")
    id_fields = ("pk", "saga_id", "return_saga_id")
    search_fields = ("email",)
    search_help_text = _("The full id of an order or of its saga, or a part of the e-mail address.")
    fields = ("id", "email", "status", "total", "trouble", "placed_at", "saga", "return_saga")
    inlines = (OrderLineInline,)
    actions = ("deliver", "take_back")

    @admin.display(description=_("saga"))
    def saga(self, order: Order) -> str:
        return _saga_link(order.saga_id)

    @admin.display(description=_("return"))
    def return_saga(self, order: Order) -> str:
        return _saga_link(order.return_saga_id)

    def has_handle_permission(self, request: HttpRequest) -> bool:
        """Whether the user may move orders on, which nobody does by editing their rows."""
        return request.user.has_perm("orders.change_order")

    @admin.action(description=_("Mark the selected orders as delivered"), permissions=["handle"])
    def deliver(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        delivered = self._ask_for_each(request, queryset, services.deliver_order)
        if delivered:
            text = ngettext("%d order is delivered.", "%d orders are delivered.", delivered)
            self.message_user(request, text % delivered, messages.SUCCESS)

    @admin.action(description=_("Take the selected orders back"), permissions=["handle"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        started = self._ask_for_each(
            request, queryset, lambda order_id: services.return_order(order_id, by=request.user)
        )
        if started:
            text = ngettext("%d order is being taken back.", "%d orders are being taken back.", started)
            self.message_user(request, text % started, messages.SUCCESS)

    def _ask_for_each(
        self, request: HttpRequest, orders: QuerySet[Order], service: Callable[[UUID], object]
    ) -> int:
        """Ask the service for each order, tell the user what it refused, and return how many it did not."""
        granted = 0
        for order_id in orders.values_list("pk", flat=True):
            try:
                service(order_id)
            except OrderRefused as refusal:
                self.message_user(request, str(refusal), messages.WARNING)
            else:
                granted += 1
        return granted


class ReservationLineInline(ReadOnly, TabularInline):
    """What was taken off the shelf."""

    model = ReservationLine
    fields = ("product", "quantity")


class EffectAdmin(FoundById, ReadOnly, ModelAdmin):
    """What one service did, and for which order."""

    list_filter = ("status", "created_at")
    id_fields = ("order_id", "idempotency_key")
    search_fields = ("order_id__exact",)  # The box is shown for it; ids are looked up by `id_fields`.
    search_help_text = _("The full id of an order, or a full idempotency key.")

    @admin.display(description=_("order"), ordering="order_id")
    def order(self, effect: Any) -> str:
        return format_html(
            '<a href="{}">{}</a>',
            reverse("admin:orders_order_change", args=[effect.order_id]),
            str(effect.order_id)[-8:],
        )


@admin.register(Reservation)
class ReservationAdmin(EffectAdmin):
    """The inventory's."""

    list_display = ("id", "order", "status", "created_at")
    fields = ("order", "status", "idempotency_key", "created_at")
    inlines = (ReservationLineInline,)


@admin.register(Payment)
class PaymentAdmin(EffectAdmin):
    """The payments service's."""

    list_display = ("charge", "order", "amount", "status", "created_at")
    fields = ("charge", "order", "amount", "status", "idempotency_key", "created_at")


@admin.register(Shipment)
class ShipmentAdmin(EffectAdmin):
    """The shipping service's."""

    list_display = ("tracking", "order", "status", "created_at")
    fields = ("tracking", "order", "status", "idempotency_key", "created_at")


@admin.register(GatewayCharge)
class GatewayChargeAdmin(EffectAdmin):
    """The payment gateway's own."""

    list_display = ("reference", "order", "amount", "status", "created_at")
    fields = ("reference", "order", "amount", "status", "idempotency_key", "created_at")


@admin.register(CarrierBooking)
class CarrierBookingAdmin(EffectAdmin):
    """The carrier's own."""

    list_display = ("tracking", "order", "status", "created_at")
    fields = ("tracking", "order", "status", "idempotency_key", "created_at")


def _saga_link(saga_id: UUID | None) -> str:
    if saga_id is None:
        return "–"
    return format_html(
        '<a href="{}">{}</a>', reverse("admin:sagas_saga_change", args=[saga_id]), str(saga_id)[-8:]
    )
