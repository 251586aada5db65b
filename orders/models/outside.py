"""The ledgers of two other companies, written by nobody but their pretend selves in `orders.participants`."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.utils.translation import gettext_lazy as _

from orders.models.effect import Effect


class ChargeStatus(models.TextChoices):
    """Where a charge stands at the gateway."""

    CAPTURED = "captured", _("captured")
    REFUNDED = "refunded", _("refunded")
    VOIDED = "voided", _("voided")
    """Taken back before it came: a charge that arrives under this key is refused."""


class GatewayCharge(Effect):
    """A line in the payment gateway's own books."""

    status = models.CharField(_("status"), max_length=20, choices=ChargeStatus)
    amount = models.DecimalField(_("amount"), max_digits=10, decimal_places=2, default=Decimal(0))

    class Meta(Effect.Meta):
        verbose_name = _("gateway charge")
        verbose_name_plural = _("gateway charges")

    def __str__(self) -> str:
        return self.reference

    @property
    def reference(self) -> str:
        """What the gateway calls it."""
        return f"ch_{self.digest[:16]}"


class BookingStatus(models.TextChoices):
    """Where a booking stands at the carrier."""

    BOOKED = "booked", _("booked")
    CANCELLED = "cancelled", _("cancelled")
    VOIDED = "voided", _("voided")
    """Cancelled before it came: a booking that arrives under this key is refused."""


class CarrierBooking(Effect):
    """A line in the carrier's own books."""

    status = models.CharField(_("status"), max_length=20, choices=BookingStatus)

    class Meta(Effect.Meta):
        verbose_name = _("carrier booking")
        verbose_name_plural = _("carrier bookings")

    def __str__(self) -> str:
        return self.tracking

    @property
    def tracking(self) -> str:
        """The number on the parcel."""
        return f"PK{self.digest[:12].upper()}"
