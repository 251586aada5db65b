"""The inventory's tables: what is on the shelf, and what was taken off it for whom."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from orders.models.effect import Effect


class Product(models.Model):
    """Something on the shelf."""

    sku = models.SlugField(_("SKU"), unique=True)
    name = models.CharField(_("name"), max_length=100)
    price = models.DecimalField(
        _("price"), max_digits=10, decimal_places=2, validators=[MinValueValidator(Decimal("0.01"))]
    )
    stock = models.PositiveIntegerField(_("stock"), default=0, help_text=_("Units free to be reserved."))
    supplied = models.PositiveIntegerField(
        _("supplied"), default=0, help_text=_("Units ever delivered to the shelf.")
    )

    class Meta:
        verbose_name = _("product")
        verbose_name_plural = _("products")
        ordering = ("sku",)
        constraints = [
            models.CheckConstraint(condition=Q(stock__gte=0), name="product_stock_not_negative"),
            models.CheckConstraint(condition=Q(stock__lte=F("supplied")), name="product_stock_was_supplied"),
            models.CheckConstraint(condition=Q(price__gt=0), name="product_price_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.sku})"


class ReservationStatus(models.TextChoices):
    """Where the goods of a reservation are."""

    HELD = "held", _("held")
    """Off the shelf, for the order."""
    RELEASED = "released", _("released")
    """Back on the shelf."""


class Reservation(Effect):
    """Goods the inventory took off the shelf for an order."""

    status = models.CharField(
        _("status"), max_length=20, choices=ReservationStatus, default=ReservationStatus.HELD
    )

    class Meta(Effect.Meta):
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")

    def __str__(self) -> str:
        return f"reservation {self.pk}"


class ReservationLine(models.Model):
    """So many units of one product."""

    reservation = models.ForeignKey(Reservation, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(
        Product, on_delete=models.PROTECT, related_name="+", verbose_name=_("product")
    )
    quantity = models.PositiveIntegerField(_("quantity"))

    class Meta:
        verbose_name = _("reservation line")
        verbose_name_plural = _("reservation lines")

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product_id}"
