"""The shop's own tables: orders and their lines."""

from __future__ import annotations

from uuid import UUID

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from orders.models.inventory import Product
from orders.trouble import Trouble


def new_order_id() -> UUID:
    """Return a UUIDv7: later orders sort later, and nobody guesses another's."""
    return uuid7()


class OrderStatus(models.TextChoices):
    """What the customer is told."""

    PLACED = "placed", _("placed")
    """Written down, together with the saga that will bring it to an end."""
    ACCEPTED = "accepted", _("accepted")
    """In the hands of its saga."""
    CONFIRMED = "confirmed", _("confirmed")
    """Paid and booked with the carrier."""
    CANCELLED = "cancelled", _("cancelled")
    """Everything that was done for it is undone."""
    DELIVERED = "delivered", _("delivered")
    RETURNING = "returning", _("returning")
    RETURNED = "returned", _("returned")
    """Refunded, and back on the shelf."""


SOLD = (OrderStatus.CONFIRMED, OrderStatus.DELIVERED)
"""The statuses in which the customer has the goods and the shop has the money."""


class Order(models.Model):
    """A customer's order. Its saga moves it on."""

    id = models.UUIDField(primary_key=True, default=new_order_id, editable=False)
    email = models.EmailField(_("customer's e-mail"))
    status = models.CharField(_("status"), max_length=20, choices=OrderStatus, default=OrderStatus.PLACED)
    total = models.DecimalField(_("total"), max_digits=10, decimal_places=2)
    trouble = models.CharField(
        _("trouble"),
        max_length=20,
        choices=Trouble,
        default=Trouble.NONE,
        help_text=_("What shall go wrong, to be watched."),
    )
    # Ids and no foreign keys: a pruned saga leaves its order alone.
    saga_id = models.UUIDField(_("saga"), null=True, editable=False)
    return_saga_id = models.UUIDField(_("return saga"), null=True, editable=False)
    placed_at = models.DateTimeField(_("placed at"), auto_now_add=True)

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        ordering = ("-placed_at", "-id")
        indexes = [models.Index(fields=["-placed_at", "-id"], name="order_newest_first")]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=OrderStatus.values), name="order_status_known"),
        ]

    def __str__(self) -> str:
        return f"order {self.number}"

    @property
    def number(self) -> str:
        """The end of the id, for people: an id begins with the time, which nearby orders share."""
        return str(self.pk)[-8:]


class OrderLine(models.Model):
    """So many of one product, at the price of the day."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(
        Product, on_delete=models.PROTECT, related_name="+", verbose_name=_("product")
    )
    quantity = models.PositiveIntegerField(_("quantity"), validators=[MinValueValidator(1)])
    price = models.DecimalField(_("price"), max_digits=10, decimal_places=2)

    class Meta:
        verbose_name = _("order line")
        verbose_name_plural = _("order lines")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(fields=["order", "product"], name="order_line_unique_product"),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="order_line_quantity_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product_id}"
