"""Events on their way: what was published, and to whom it has to be brought."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sagas.clock import InsertTime
from sagas.models.history import ActorKind
from sagas.models.saga import Saga


class OutboxStatus(models.TextChoices):
    """How far a published event has come."""

    PENDING = "pending", _("pending")
    """The choreography it belongs to has not taken note of it yet."""
    SENT = "sent", _("sent")
    """Whoever has to know of it does; its deliveries are in the inbox."""


class InboxStatus(models.TextChoices):
    """How far an event has come on its way to one subscriber."""

    PENDING = "pending", _("pending")
    """Nobody has looked yet who waits for it."""
    KEPT = "kept", _("kept")
    """Nobody waited for it: it is kept for whoever will."""
    TAKEN = "taken", _("taken")
    """It has reached the sagas that waited for it."""
    DUE = "due", _("due")
    """Its subscriber has not handled it yet."""
    HELD = "held", _("held")
    """A person keeps it from its subscriber until it is released. Later events of its key wait with it."""
    DONE = "done", _("done")
    """Its subscriber has handled it."""
    DEAD = "dead", _("dead letter")
    """It was given up, and awaits a person. Later events of its key wait with it."""
    RESOLVED = "resolved", _("resolved")
    """It was given up, and a person has said that it needs no handling any more."""


IN_THE_WAY = [InboxStatus.DUE, InboxStatus.HELD, InboxStatus.DEAD]
"""A delivery that stands so has to be seen to before what comes after it in its key."""


class EventKey(models.Model):
    """Counts the events of a key: its row is locked by whoever publishes the next one."""

    key = models.CharField(_("key"), max_length=200, primary_key=True)
    last = models.PositiveBigIntegerField(_("last number"))

    class Meta:
        verbose_name = _("event key")
        verbose_name_plural = _("event keys")
        default_permissions = ()

    def __str__(self) -> str:
        return self.key


class OutboxMessage(models.Model):
    """An event that was published, in the transaction of what it tells."""

    event_id = models.UUIDField(_("event id"), unique=True)
    topic = models.CharField(_("topic"), max_length=100)
    key = models.CharField(_("key"), max_length=200, blank=True)
    seq = models.PositiveBigIntegerField(_("number within its key"), default=0)
    data = models.JSONField(_("data"), default=dict)
    headers = models.JSONField(_("headers"), default=dict)
    """Source, hops, trace context and the like."""
    saga = models.ForeignKey(
        Saga,
        models.CASCADE,
        null=True,
        blank=True,
        db_index=False,
        related_name="published",
        verbose_name=_("saga"),
    )
    """The saga one of whose steps published it."""
    correlation_id = models.CharField(_("correlation id"), max_length=200)
    causation_id = models.CharField(_("causation id"), max_length=200, blank=True)
    status = models.CharField(
        _("status"), max_length=10, choices=OutboxStatus.choices, default=OutboxStatus.SENT
    )
    tries = models.PositiveIntegerField(_("tries"), default=0)
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)
    at = models.DateTimeField(_("at"), db_default=InsertTime())

    class Meta:
        verbose_name = _("outbox message")
        verbose_name_plural = _("outbox messages")
        default_permissions = ("view",)
        ordering = ("id",)
        indexes = (
            models.Index("correlation_id", "id", name="sagas_outbox_correlation"),
            models.Index("id", name="sagas_outbox_pending", condition=Q(status=OutboxStatus.PENDING)),
            models.Index("saga", name="sagas_outbox_saga", condition=Q(saga__isnull=False)),
            models.Index("at", name="sagas_outbox_at"),
        )

    def __str__(self) -> str:
        return f"{self.topic} {self.key}"


class InboxMessage(models.Model):
    """An event that has arrived, once per subscriber however often it was sent.

    While it is due, `due_at` says when its subscriber is to be called next and `held_by` which worker is at
    it; a call is counted in `tries` by the transaction that takes it, before it is made.
    """

    event_id = models.UUIDField(_("event id"))
    subscriber = models.CharField(_("subscriber"), max_length=200)
    topic = models.CharField(_("topic"), max_length=100)
    key = models.CharField(_("key"), max_length=200, blank=True)
    seq = models.PositiveBigIntegerField(_("number within its key"), default=0)
    data = models.JSONField(_("data"), default=dict)
    headers = models.JSONField(_("headers"), default=dict)
    correlation_id = models.CharField(_("correlation id"), max_length=200, blank=True)
    status = models.CharField(
        _("status"), max_length=10, choices=InboxStatus.choices, default=InboxStatus.PENDING
    )
    tries = models.PositiveIntegerField(_("tries"), default=0)
    crashes = models.PositiveIntegerField(_("crashes"), default=0)
    """Tries that were lost with their worker; the retry policy does not count them."""
    in_doubt = models.BooleanField(_("in doubt"), default=False)
    """A call outside of a transaction may have taken effect, and has not come back to say so."""
    held_by = models.UUIDField(_("held by"), null=True, blank=True)
    due_at = models.DateTimeField(_("due"), null=True, blank=True, db_default=InsertTime())
    began_at = models.DateTimeField(_("begun"), null=True, blank=True)
    """When it was first called; of a dead letter that was requeued, since then."""
    error_class = models.CharField(_("error class"), max_length=200, blank=True)
    error = models.TextField(_("error"), blank=True)
    at = models.DateTimeField(_("at"), db_default=InsertTime())
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("inbox message")
        verbose_name_plural = _("inbox messages")
        default_permissions = ("view",)
        permissions = (
            ("requeue_deadletter", _("Can have dead letters delivered again")),
            ("resolve_deadletter", _("Can resolve dead letters")),
            ("hold_delivery", _("Can hold deliveries of events, and release them")),
        )
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("subscriber", "event_id"), name="sagas_inbox_once"),
            models.CheckConstraint(
                # What is to be handled is never forgotten, and nobody holds anything else.
                condition=Q(status="due", due_at__isnull=False) | (~Q(status="due") & Q(held_by=None)),
                name="sagas_inbox_due",
            ),
        )
        indexes = (
            models.Index("id", name="sagas_inbox_pending", condition=Q(status=InboxStatus.PENDING)),
            models.Index(
                "topic",
                "key",
                name="sagas_inbox_open",
                condition=Q(status__in=[InboxStatus.PENDING, InboxStatus.KEPT]),
            ),
            models.Index("at", name="sagas_inbox_at"),
            models.Index("due_at", "id", name="sagas_inbox_due_idx", condition=Q(status=InboxStatus.DUE)),
            # Serves the search for what has to be handled before.
            models.Index(
                "subscriber",
                "key",
                "seq",
                name="sagas_inbox_order",
                condition=Q(status__in=IN_THE_WAY) & ~Q(key=""),
            ),
            models.Index("correlation_id", name="sagas_inbox_correlation", condition=~Q(correlation_id="")),
            models.Index("at", "id", name="sagas_inbox_dead", condition=Q(status=InboxStatus.DEAD)),
            models.Index("at", "id", name="sagas_inbox_held", condition=Q(status=InboxStatus.HELD)),
        )

    def __str__(self) -> str:
        return f"{self.topic} {self.key}"


class DeadLetterAct(models.Model):
    """What a person or program did about a delivery. Append-only: on PostgreSQL a trigger says so."""

    message = models.ForeignKey(
        InboxMessage, models.CASCADE, related_name="acts", verbose_name=_("dead letter")
    )
    actor_kind = models.CharField(_("actor kind"), max_length=10, choices=ActorKind.choices)
    actor = models.CharField(_("actor"), max_length=200, blank=True)
    operation = models.CharField(_("operation"), max_length=20)
    reason = models.TextField(_("reason"), blank=True)
    refusal = models.CharField(_("refused as"), max_length=40, blank=True)
    """Empty: it was done."""
    data = models.JSONField(_("data"), default=dict)
    """How the delivery stood before."""
    at = models.DateTimeField(_("at"), db_default=InsertTime())

    class Meta:
        verbose_name = _("act on a dead letter")
        verbose_name_plural = _("acts on dead letters")
        ordering = ("id",)
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.operation} of delivery {self.message_id}"
