"""The table of shipping."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from orders.models.effect import Effect


class ShipmentStatus(models.TextChoices):
    """Whether the parcel goes out."""

    BOOKED = "booked", _("booked")
    CANCELLED = "cancelled", _("cancelled")


class Shipment(Effect):
    """A parcel that shipping knows it booked for an order."""

    status = models.CharField(
        _("status"), max_length=20, choices=ShipmentStatus, default=ShipmentStatus.BOOKED
    )
    tracking = models.CharField(_("tracking number"), max_length=40)

    class Meta(Effect.Meta):
        verbose_name = _("shipment")
        verbose_name_plural = _("shipments")

    def __str__(self) -> str:
        return f"shipment {self.tracking}"
