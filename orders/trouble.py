"""The failures that an order can ask for, so that they can be watched."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Trouble(TextChoices):
    """What shall go wrong with an order."""

    NONE = "none", _("nothing")
    OUT_OF_STOCK = "out_of_stock", _("out of stock")
    """The shelf is found empty: turns back."""
    CARD_DECLINED = "card_declined", _("card declined")
    """The gateway refuses the charge: turns back."""
    PAYMENT_TIMEOUT = "payment_timeout", _("payment times out once")
    """The charge takes effect and its answer is lost; the next attempt gets the same charge: completes."""
    PAYMENT_UNKNOWN = "payment_unknown", _("payment never answers")
    """The charge takes effect and every answer is lost: turns back and refunds what it cannot see."""
    CRASH_AFTER_CHARGE = "crash_after_charge", _("worker crashes after the charge")
    """The worker is killed once, right after the charge took effect: another one completes the order."""
    CARRIER_OUTAGE = "carrier_outage", _("carrier out for a while")
    """The carrier cannot be reached at first: completes."""
    CARRIER_DOWN = "carrier_down", _("carrier down for good")
    """The carrier takes no bookings: turns back."""

    @property
    def turns_back(self) -> bool:
        """Whether an order with this trouble ends cancelled, with everything undone."""
        return self in TURNING_BACK


TURNING_BACK = frozenset(
    {Trouble.OUT_OF_STOCK, Trouble.CARD_DECLINED, Trouble.PAYMENT_UNKNOWN, Trouble.CARRIER_DOWN}
)
