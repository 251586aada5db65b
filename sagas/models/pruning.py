"""What was deleted because its time was over, and who had it deleted."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from sagas.clock import InsertTime
from sagas.models.history import ActorKind


class Pruning(models.Model):
    """Rows that were deleted in one transaction, this one's. Append-only, as the history they leave out."""

    actor_kind = models.CharField(_("actor kind"), max_length=10, choices=ActorKind.choices)
    actor = models.CharField(_("actor"), max_length=200, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    before = models.DateTimeField(_("ended before"))
    """What ended later was kept."""
    counts = models.JSONField(_("rows"))
    """How many rows of which model."""
    archive = models.CharField(_("archive"), max_length=500, blank=True)
    """The file to which they were written first, if any."""
    at = models.DateTimeField(_("at"), db_default=InsertTime())

    class Meta:
        verbose_name = _("pruning")
        verbose_name_plural = _("prunings")
        ordering = ("-id",)
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"pruning {self.pk}"
