"""What outside writers leave for a saga to act on."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sagas.clock import InsertTime
from sagas.models.saga import Saga


class SagaFact(models.Model):
    """Something an outside writer wants of a saga; whoever holds it acts on it at the next step border."""

    saga = models.ForeignKey(Saga, models.CASCADE, related_name="facts", verbose_name=_("saga"))
    kind = models.CharField(_("kind"), max_length=20)
    source = models.CharField(_("source"), max_length=200)
    """Where it comes from: the same fact arriving twice is one."""
    data = models.JSONField(_("data"), default=dict)
    by = models.CharField(_("by"), max_length=200, blank=True)
    at = models.DateTimeField(_("at"), db_default=InsertTime())
    applied_at = models.DateTimeField(_("applied"), null=True, blank=True)

    class Meta:
        verbose_name = _("fact")
        verbose_name_plural = _("facts")
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=("saga", "kind", "source"), name="sagas_fact_once"),)
        indexes = (models.Index("saga", name="sagas_fact_pending", condition=Q(applied_at=None)),)

    def __str__(self) -> str:
        return f"{self.kind} for saga {self.saga_id}"
