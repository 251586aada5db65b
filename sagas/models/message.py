"""Events on their way to the sagas that wait for them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sagas.clock import InsertTime


class InboxStatus(models.TextChoices):
    """How far an event has come."""

    PENDING = "pending", _("pending")
    """Nobody has looked yet who waits for it."""
    KEPT = "kept", _("kept")
    """Nobody waited for it: it is kept for whoever will."""
    TAKEN = "taken", _("taken")
    """It has reached the sagas that waited for it."""


class InboxMessage(models.Model):
    """An event that has arrived, once per subscriber however often it was sent."""

    event_id = models.UUIDField(_("event id"))
    subscriber = models.CharField(_("subscriber"), max_length=200)
    topic = models.CharField(_("topic"), max_length=100)
    key = models.CharField(_("key"), max_length=200, blank=True)
    data = models.JSONField(_("data"), default=dict)
    status = models.CharField(
        _("status"), max_length=10, choices=InboxStatus.choices, default=InboxStatus.PENDING
    )
    at = models.DateTimeField(_("at"), db_default=InsertTime())

    class Meta:
        verbose_name = _("inbox message")
        verbose_name_plural = _("inbox messages")
        default_permissions = ("view",)
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("subscriber", "event_id"), name="sagas_inbox_once"),)
        indexes = (
            models.Index("id", name="sagas_inbox_pending", condition=Q(status=InboxStatus.PENDING)),
            models.Index("topic", "key", name="sagas_inbox_open", condition=~Q(status=InboxStatus.TAKEN)),
            models.Index("at", name="sagas_inbox_at"),
        )

    def __str__(self) -> str:
        return f"{self.topic} {self.key}"
