"""What sagas wait for before they may begin: semantic locks, limits and rates, holds."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sagas.clock import InsertTime
from sagas.models.saga import Saga


class SemanticLock(models.Model):
    """A mark that a business object is in the middle of a saga. It goes with the saga and never expires."""

    name = models.CharField(_("name"), max_length=200, unique=True)
    saga = models.ForeignKey(Saga, models.CASCADE, related_name="semantic_locks", verbose_name=_("saga"))
    """The root saga: its children share its locks."""
    at = models.DateTimeField(_("taken"), db_default=InsertTime())

    class Meta:
        verbose_name = _("semantic lock")
        verbose_name_plural = _("semantic locks")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name


class Permit(models.Model):
    """Room taken under a limit: by an attempt in flight, or by a saga that has begun and not ended."""

    name = models.CharField(_("name"), max_length=120, db_index=True)
    saga = models.ForeignKey(Saga, models.CASCADE, related_name="permits", verbose_name=_("saga"))
    step = models.CharField(_("step"), max_length=100, blank=True)

    class Meta:
        verbose_name = _("permit")
        verbose_name_plural = _("permits")
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=("saga", "name", "step"), name="sagas_permit_once"),)

    def __str__(self) -> str:
        return f"{self.name} for saga {self.saga_id}"


class Pace(models.Model):
    """How far ahead of the time a rate has been used up."""

    name = models.CharField(_("name"), max_length=120, primary_key=True)
    next_at = models.DateTimeField(_("next"))

    class Meta:
        verbose_name = _("pace")
        verbose_name_plural = _("paces")
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class Hold(models.Model):
    """No new attempt goes forward at this definition or participant until it is released."""

    definition = models.CharField(_("definition"), max_length=100, blank=True)
    participant = models.CharField(_("participant"), max_length=100, blank=True)
    by = models.CharField(_("by"), max_length=200, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    at = models.DateTimeField(_("at"), db_default=InsertTime())
    until = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta:
        verbose_name = _("hold")
        verbose_name_plural = _("holds")
        default_permissions = ("view",)
        constraints = (
            models.CheckConstraint(
                condition=(Q(definition="") & ~Q(participant="")) | (~Q(definition="") & Q(participant="")),
                name="sagas_hold_of_one",
            ),
            models.UniqueConstraint(fields=("definition", "participant"), name="sagas_hold_once"),
        )

    def __str__(self) -> str:
        return self.definition or self.participant
