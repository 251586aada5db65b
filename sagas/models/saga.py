"""One run of a definition: its status, who holds it, and what it needs."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django_fsm import RETURN_VALUE, transition

from sagas.clock import InsertTime
from sagas.keys import MAX_KEY, error_fingerprint, new_saga_id
from sagas.models.status import StatusField, StatusModel, names_only
from sagas.states import AT_REST, AT_WORK, LIVE, TERMINAL, Attention, Direction, SagaKind, SagaStatus

S = SagaStatus

RETRYING = Q(status=S.RUNNING, held_by=None) & ~Q(error_class="")
"""Goes forward, and waits after an attempt that failed, for the next one as a rule."""


class Saga(StatusModel):
    """One run of a definition.

    `due_at` says when a worker must look at it and `held_by` which worker has it; `fence` counts the claims
    and voids what an earlier holder still wants to write; `revision` counts what a person can see change.
    """

    id = models.UUIDField(primary_key=True, default=new_saga_id, editable=False)
    kind = models.CharField(
        _("kind"), max_length=13, choices=SagaKind.choices, default=SagaKind.ORCHESTRATION
    )
    definition = models.CharField(_("definition"), max_length=100)
    version = models.PositiveIntegerField(_("version"))
    key = models.CharField(_("business key"), max_length=MAX_KEY, null=True, blank=True)  # noqa: DJ001
    status = StatusField(_("status"), default=S.PENDING, choices=S.choices, protected=True, max_length=20)
    direction = models.CharField(
        _("direction"), max_length=7, choices=Direction.choices, default=Direction.FORWARD
    )
    attention = models.CharField(_("attention"), max_length=20, choices=Attention.choices, blank=True)
    input = models.JSONField(_("input"))

    due_at = models.DateTimeField(_("due"), null=True, blank=True, db_default=InsertTime())
    held_by = models.UUIDField(_("held by"), null=True, blank=True)
    fence = models.PositiveBigIntegerField(_("fence"), default=0)
    revision = models.PositiveBigIntegerField(_("revision"), default=0)

    steps_done = models.PositiveIntegerField(_("steps done"), default=0)
    steps_total = models.PositiveIntegerField(_("steps"))
    current_step = models.CharField(_("current step"), max_length=100, blank=True)
    failed_step = models.CharField(_("failed step"), max_length=100, blank=True)
    """The current step while it is `failed`: that one changes at every border, and so can have no index."""
    error_class = models.CharField(_("error class"), max_length=200, blank=True)
    error = models.TextField(_("error"), blank=True)
    error_fingerprint = models.CharField(_("error fingerprint"), max_length=16, blank=True)

    deadline_at = models.DateTimeField(_("deadline"), null=True, blank=True)
    parent = models.ForeignKey(
        "self",
        models.CASCADE,
        null=True,
        blank=True,
        db_index=False,
        related_name="children",
        verbose_name=_("parent"),
    )
    parent_step = models.CharField(_("step of the parent"), max_length=100, blank=True)
    continues = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,
        related_name="continued_by",
        verbose_name=_("continues"),
    )
    """The saga one of whose steps started this one."""
    restarted_from = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,
        related_name="restarts",
        verbose_name=_("restarted from"),
    )

    correlation_id = models.CharField(_("correlation id"), max_length=200)
    traceparent = models.CharField(_("trace context"), max_length=55, blank=True)
    """The W3C trace context it was started in, if any."""
    started_by = models.CharField(_("started by"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), db_default=InsertTime())
    updated_at = models.DateTimeField(_("updated"), db_default=InsertTime())
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("saga")
        verbose_name_plural = _("sagas")
        ordering = ("-created_at", "-id")
        default_permissions = ("view",)
        permissions = (
            ("view_saga_data", _("Can see what is sensitive in input and results")),
            ("start_saga", _("Can start sagas")),
            ("retry_saga", _("Can retry failed sagas")),
            ("resume_saga", _("Can suspend and resume sagas")),
            ("compensate_saga", _("Can turn sagas back")),
            ("resolve_saga", _("Can say what came of a step of unknown outcome")),
            ("skip_saga", _("Can have steps passed by")),
            ("edit_saga", _("Can correct the input of sagas")),
            ("restart_saga", _("Can start ended sagas again")),
            ("abandon_saga", _("Can end sagas without compensation")),
            ("acknowledge_saga", _("Can say that what sagas called a person for was seen to")),
            ("hold_saga", _("Can hold and release definitions and participants")),
            ("deliver_event", _("Can deliver events to sagas")),
        )
        constraints = (
            names_only(S, of="saga"),
            models.CheckConstraint(
                # A terminal saga needs nobody, and one at work is never forgotten.
                condition=(
                    Q(status__in=TERMINAL, due_at=None, held_by=None, ended_at__isnull=False)
                    | Q(status__in=AT_WORK, due_at__isnull=False, ended_at=None)
                    | Q(status__in=AT_REST, due_at=None, held_by=None, ended_at=None)
                ),
                name="sagas_saga_due",
            ),
            models.UniqueConstraint(
                # Nobody starts a choreography, so nobody can be refused one.
                fields=("definition", "key"),
                condition=Q(status__in=LIVE, kind=SagaKind.ORCHESTRATION, key__isnull=False),
                name="sagas_saga_live_key",
            ),
        )
        indexes = (
            models.Index("due_at", name="sagas_saga_due_idx", condition=Q(due_at__isnull=False)),
            models.Index("created_at", name="sagas_saga_created"),
            # With the definition, so that what stands where is counted in the index alone.
            models.Index("status", "created_at", "definition", name="sagas_saga_status_created"),
            # This and that of errors serve "is" and "begins with", whatever the database's collation.
            models.Index(
                fields=["key"],
                name="sagas_saga_key",
                opclasses=["varchar_pattern_ops"],
                condition=Q(key__isnull=False),
            ),
            models.Index(
                "parent", "parent_step", name="sagas_saga_family", condition=Q(parent__isnull=False)
            ),
            # Serve the deletion of the sagas they name.
            models.Index("continues", name="sagas_saga_continues", condition=Q(continues__isnull=False)),
            models.Index(
                "restarted_from", name="sagas_saga_restarts", condition=Q(restarted_from__isnull=False)
            ),
            # With what it is, so that each kind is counted in the index alone.
            models.Index("created_at", "attention", name="sagas_saga_attention", condition=~Q(attention="")),
            models.Index(
                fields=["error_class", "created_at"],
                name="sagas_saga_errors",
                opclasses=["varchar_pattern_ops", "timestamptz_ops"],
                condition=~Q(error_class=""),
            ),
            models.Index(
                "error_fingerprint", "created_at", name="sagas_saga_failures", condition=Q(status=S.FAILED)
            ),
            models.Index(
                "definition",
                "failed_step",
                "created_at",
                name="sagas_saga_failed_step",
                condition=Q(status=S.FAILED),
            ),
            # Its columns change only where an index has to be written anyway.
            models.Index("created_at", name="sagas_saga_retrying", condition=RETRYING),
            # What ended lately, and how, is counted in the index alone. A saga enters it once, when it ends.
            models.Index(
                "ended_at",
                "status",
                "definition",
                name="sagas_saga_ended",
                condition=Q(ended_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.definition} {self.key or self.id}"

    @property
    def is_live(self) -> bool:
        """Whether the saga has not ended."""
        return self.status not in TERMINAL

    @transition(field=status, source=S.PENDING, target=S.RUNNING)
    def begin(self) -> None:
        """A worker takes the saga for the first time."""

    @transition(field=status, source=S.RUNNING, target=S.COMPLETED)
    def complete(self, *, now: datetime) -> None:
        """Every step is done."""
        self._end(now)

    @transition(
        field=status,
        source=[S.PENDING, S.RUNNING, S.SUSPENDED, S.FAILED, S.COMPLETED],
        target=S.COMPENSATING,
    )
    def turn_back(self) -> None:
        """Stop going forward and begin to undo."""
        self.direction = Direction.BACK
        self.attention = ""
        self.ended_at = None

    @transition(field=status, source=S.COMPENSATING, target=S.COMPENSATED)
    def undone(self, *, now: datetime) -> None:
        """Each compensation reported done."""
        self._end(now)

    @transition(field=status, source=S.COMPENSATED, target=S.COMPENSATING)
    def undo_again(self) -> None:
        """A person wants undone what took effect after it was undone; else what has ended stays so."""
        self.attention = ""
        self.ended_at = None

    @transition(field=status, source=[S.RUNNING, S.COMPENSATING], target=S.FAILED)
    def halt(self, attention: Attention) -> None:
        """Go neither forward nor back without a person."""
        self.attention = attention
        self._let_go()

    @transition(field=status, source=[S.PENDING, S.RUNNING, S.COMPENSATING], target=S.SUSPENDED)
    def suspend(self) -> None:
        """Stop until a person resumes."""
        self._let_go()

    @transition(
        field=status,
        source=[S.PENDING, S.RUNNING, S.COMPENSATING, S.SUSPENDED, S.FAILED],
        target=S.ABANDONED,
    )
    def abandon(self, *, now: datetime) -> None:
        """A person ends it as it is. The fence voids what a worker still wants to write."""
        self.fence += 1
        self.attention = ""
        self._end(now)

    @transition(
        field=status,
        source=[S.SUSPENDED, S.FAILED],
        target=RETURN_VALUE(S.PENDING, S.RUNNING, S.COMPENSATING),
    )
    def resume(self, *, has_begun: bool) -> SagaStatus:
        """Go on the way it went; what has not begun is pending again, and may have to wait for its turn."""
        self.attention = ""
        if self.direction == Direction.BACK:
            return S.COMPENSATING
        return S.RUNNING if has_begun else S.PENDING

    def note_error(self, error_class: str, error: str, *, step: str) -> None:
        """Remember what went wrong last, and group it with its like."""
        self.error_class = error_class
        self.error = error
        self.error_fingerprint = error_fingerprint(self.definition, step, error_class, error)

    def clear_error(self) -> None:
        """Forget what went wrong: it was overcome."""
        self.error_class = self.error = self.error_fingerprint = ""

    def _end(self, now: datetime) -> None:
        self.ended_at = now
        self._let_go()

    def _let_go(self) -> None:
        self.due_at = None
        self.held_by = None
