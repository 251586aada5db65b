"""What the tables of all services have in common: one row per idempotency key."""

from __future__ import annotations

from hashlib import sha256

from django.db import models
from django.utils.translation import gettext_lazy as _


class Effect(models.Model):
    """What a service did for an order, once per idempotency key."""

    idempotency_key = models.CharField(_("idempotency key"), max_length=255, unique=True, editable=False)
    order_id = models.UUIDField(_("order"), db_index=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        abstract = True
        ordering = ("-pk",)

    @property
    def digest(self) -> str:
        """Of its key: what others are told instead of the key itself."""
        return sha256(str(self.idempotency_key).encode()).hexdigest()
