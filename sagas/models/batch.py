"""One operation asked of many sagas: drafted, started, and carried out saga by saga."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django_fsm import transition

from sagas.clock import InsertTime
from sagas.models.history import ActorKind
from sagas.models.saga import Saga
from sagas.models.status import StatusField, StatusModel, names_only
from sagas.states import SagaStatus


class BatchStatus(models.TextChoices):
    """Where a batch stands."""

    DRAFT = "draft", _("draft")
    """Written down, to be looked at. Nothing is done before somebody starts it."""
    RUNNING = "running", _("running")
    """Workers ask it of one saga after the other."""
    SUSPENDED = "suspended", _("suspended")
    """Stopped by a person, to be started again by a person."""
    DONE = "done", _("done")
    """It was asked of every saga that it was for."""
    CANCELLED = "cancelled", _("cancelled")
    """A person ended it; of those left it is not asked."""


B = BatchStatus


class SagaBatch(StatusModel):
    """One operation asked of many sagas, which were chosen when it was drafted and never become more.

    Its counters change in the transaction that settles an item: `requested`, `skipped`, `refused` and the
    items that are left always add up to `total`.
    """

    operation = models.CharField(_("operation"), max_length=20)
    arguments = models.JSONField(_("arguments"), default=dict)
    reason = models.TextField(_("reason"), blank=True)
    actor_kind = models.CharField(_("actor kind"), max_length=10, choices=ActorKind.choices)
    actor = models.CharField(_("actor"), max_length=200, blank=True)
    """Who started it last, and before that who drafted it: in this name it is asked."""
    user_key = models.CharField(_("user"), max_length=64, blank=True)
    """The user's primary key, where the actor is one. No relation: users may be kept elsewhere."""
    token = models.CharField(_("token"), max_length=64, null=True, blank=True, unique=True)
    """Stands for the request that drafted it: the same request sent twice is one batch."""
    selection = models.JSONField(_("selection"))
    """What was to be chosen: a filter, or so many ids."""
    cutoff_at = models.DateTimeField(_("cut-off"))
    """What was started or came to a halt after this is none of its business."""
    groups = models.JSONField(_("groups"), default=list)
    """What was found: how many of which definition, at which step, and whether they are skipped."""
    log = models.JSONField(_("log"), default=list)
    """Who started, suspended and stopped it, and when."""

    status = StatusField(_("status"), default=B.DRAFT, choices=B.choices, protected=True, max_length=20)
    rate = models.PositiveIntegerField(_("sagas a second"))
    total = models.PositiveIntegerField(_("total"), default=0)
    requested = models.PositiveIntegerField(_("requested"), default=0)
    skipped = models.PositiveIntegerField(_("skipped"), default=0)
    refused = models.PositiveIntegerField(_("refused"), default=0)

    turn = models.PositiveIntegerField(_("turn"), default=0)
    """Counts the workers that took it, one after the other; a message of an earlier turn means nothing."""
    is_repeated = False
    """Whether this is what an earlier request drafted under the same key; of the instance, not the row."""

    leased_until = models.DateTimeField(_("leased until"), null=True, blank=True)
    """Until then a worker is at it, or about to be; after that it is for whoever finds it."""
    created_at = models.DateTimeField(_("created"), db_default=InsertTime())
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        ordering = ("-id",)
        default_permissions = ("view",)
        constraints = (
            names_only(B, of="batch"),
            models.CheckConstraint(
                condition=Q(total__gte=F("requested") + F("skipped") + F("refused")),
                name="sagas_batch_adds_up",
            ),
        )
        indexes = (models.Index("id", name="sagas_batch_running", condition=Q(status=B.RUNNING)),)

    def __str__(self) -> str:
        return f"{self.operation} batch {self.pk}"

    @property
    def left(self) -> int:
        """How many sagas it is still to be asked of."""
        return self.total - self.requested - self.skipped - self.refused

    @property
    def definitions(self) -> set[str]:
        """The definitions of the sagas that it is for."""
        return {group["definition"] for group in self.groups if not group["skipped"]}

    @transition(field=status, source=[B.DRAFT, B.SUSPENDED], target=B.RUNNING)
    def start(self, *, now: datetime) -> None:
        """Have workers carry it out, from where it was left."""
        self.started_at = self.started_at or now
        self.turn += 1

    @transition(field=status, source=B.RUNNING, target=B.SUSPENDED)
    def suspend(self) -> None:
        """Leave the rest until it is started again."""
        self.leased_until = None

    @transition(field=status, source=B.RUNNING, target=B.DONE)
    def finish(self, *, now: datetime) -> None:
        """No item is left."""
        self._end(now)

    @transition(field=status, source=[B.DRAFT, B.RUNNING, B.SUSPENDED], target=B.CANCELLED)
    def cancel(self, *, now: datetime) -> None:
        """Leave the rest for good."""
        self._end(now)

    def _end(self, now: datetime) -> None:
        self.ended_at = now
        self.leased_until = None


class ItemState(models.TextChoices):
    """What came of a batch's wish for one saga."""

    PENDING = "pending", _("pending")
    """It has not been asked yet."""
    REQUESTED = "requested", _("requested")
    """It was asked, and granted: what follows is the workers' business."""
    SKIPPED = "skipped", _("skipped")
    """It was not asked: the saga stands, or stood by then, where there is nothing to ask."""
    REFUSED = "refused", _("refused")
    """It was asked and refused; the message says why."""


class SagaBatchItem(models.Model):
    """One saga of a batch, as it was when the batch was drafted, and what came of it."""

    batch = models.ForeignKey(
        SagaBatch, models.CASCADE, db_index=False, related_name="items", verbose_name=_("batch")
    )
    # Without a constraint: writing 100 000 items locks no saga, and one that is pruned leaves its item.
    saga = models.ForeignKey(
        Saga, models.DO_NOTHING, db_constraint=False, related_name="batch_items", verbose_name=_("saga")
    )
    status = models.CharField(_("status then"), max_length=20, choices=SagaStatus.choices)
    """Where the saga stood when the batch was drafted."""
    revision = models.PositiveBigIntegerField(_("revision then"))
    state = models.CharField(_("state"), max_length=10, choices=ItemState.choices, default=ItemState.PENDING)
    message = models.TextField(_("message"), blank=True)
    at = models.DateTimeField(_("at"), null=True, blank=True)

    class Meta:
        verbose_name = _("batch item")
        verbose_name_plural = _("batch items")
        ordering = ("id",)
        default_permissions = ("view",)
        constraints = (models.UniqueConstraint(fields=("batch", "saga"), name="sagas_batch_item_once"),)
        indexes = (models.Index("batch", "state", "id", name="sagas_batch_item_state"),)

    def __str__(self) -> str:
        return f"saga {self.saga_id} of batch {self.batch_id}"
