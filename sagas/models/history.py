"""What happened to a saga, never changed afterwards."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sagas.clock import InsertTime
from sagas.models.saga import Saga
from sagas.states import SagaStatus


class HistoryKind(models.TextChoices):
    """What an entry tells."""

    STATUS = "status", _("status")
    """The saga's status changed."""
    ATTEMPT = "attempt", _("attempt")
    """An attempt did not simply succeed."""
    TAKE_OVER = "take_over", _("take-over")
    """A worker went on with what another had left."""
    EVIDENCE = "evidence", _("evidence")
    """A result came when it counted no more; kept, never applied."""
    ACT = "act", _("act")
    """A person or program asked for an operation, and got it."""
    REFUSAL = "refusal", _("refusal")
    """A person or program asked for an operation, and was refused."""


ACTS = (HistoryKind.ACT, HistoryKind.REFUSAL)
"""What somebody asked for."""


class ActorKind(models.TextChoices):
    """Who did it."""

    ENGINE = "engine", _("engine")
    USER = "user", _("user")
    COMMAND = "command", _("command")
    CODE = "code", _("code")


class HistoryEntry(models.Model):
    """One thing that happened. Append-only: on PostgreSQL a trigger says so."""

    saga = models.ForeignKey(Saga, models.CASCADE, related_name="history", verbose_name=_("saga"))
    kind = models.CharField(_("kind"), max_length=10, choices=HistoryKind.choices)
    actor_kind = models.CharField(
        _("actor kind"), max_length=10, choices=ActorKind.choices, default=ActorKind.ENGINE
    )
    actor = models.CharField(_("actor"), max_length=200, blank=True)
    operation = models.CharField(_("operation"), max_length=20, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    from_status = models.CharField(_("from"), max_length=20, blank=True)
    to_status = models.CharField(_("to"), max_length=20, blank=True)
    step = models.CharField(_("step"), max_length=100, blank=True)
    direction = models.CharField(_("direction"), max_length=7, blank=True)
    attempt = models.PositiveIntegerField(_("attempt"), null=True, blank=True)
    data = models.JSONField(_("data"), default=dict)
    at = models.DateTimeField(_("at"), db_default=InsertTime())

    class Meta:
        verbose_name = _("history entry")
        verbose_name_plural = _("history")
        ordering = ("id",)
        default_permissions = ("view",)
        constraints = (
            models.UniqueConstraint(
                fields=("saga", "step", "direction", "attempt"),
                condition=Q(kind=HistoryKind.EVIDENCE),
                name="sagas_history_evidence_once",
            ),
        )
        indexes = (
            # The last acts: among the entries of engines they are few.
            models.Index("id", name="sagas_history_acts", condition=Q(kind__in=ACTS)),
            # All but the plain changes of status, which are most: they are looked through by kind and day.
            models.Index("kind", "at", name="sagas_history_kinds", condition=~Q(kind=HistoryKind.STATUS)),
            models.Index("at", "saga", name="sagas_history_halts", condition=Q(to_status=SagaStatus.FAILED)),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of saga {self.saga_id}"
