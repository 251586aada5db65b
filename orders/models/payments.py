"""The table of payments."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from orders.models.effect import Effect


class PaymentStatus(models.TextChoices):
    """Who has the money."""

    CAPTURED = "captured", _("captured")
    REFUNDED = "refunded", _("refunded")


class Payment(Effect):
    """Money that payments knows it took for an order."""

    status = models.CharField(
        _("status"), max_length=20, choices=PaymentStatus, default=PaymentStatus.CAPTURED
    )
    amount = models.DecimalField(_("amount"), max_digits=10, decimal_places=2)
    charge = models.CharField(_("charge"), max_length=40, help_text=_("The gateway's reference."))

    class Meta(Effect.Meta):
        verbose_name = _("payment")
        verbose_name_plural = _("payments")

    def __str__(self) -> str:
        return f"payment {self.charge}"
