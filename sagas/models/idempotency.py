"""Results kept under idempotency keys."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from sagas.clock import InsertTime


class IdempotencyRecord(models.Model):
    """What came of a call under a key, or that the call was undone before it came (a tombstone)."""

    scope = models.CharField(_("scope"), max_length=100)
    """Keys of different callers do not meet."""
    key = models.CharField(_("key"), max_length=255)
    result = models.JSONField(_("result"), null=True, blank=True)
    undone_at = models.DateTimeField(_("undone"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), db_default=InsertTime())
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True, db_index=True)
    """None: never. An effect's record is what its undo goes by, however late that comes."""

    class Meta:
        verbose_name = _("idempotency record")
        verbose_name_plural = _("idempotency records")
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=("scope", "key"), name="sagas_idempotency_once"),)

    def __str__(self) -> str:
        return f"{self.scope}:{self.key}"
