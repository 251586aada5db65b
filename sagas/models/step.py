"""One step of a saga: where it stands, forward and back, and what its attempts came to."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django_fsm import RETURN_VALUE, FSMField, transition

from sagas.models.saga import Saga
from sagas.models.status import StatusModel, names_only
from sagas.states import Direction, StepStatus, WaitsFor

T = StepStatus


class SagaStep(StatusModel):
    """One step of a saga.

    An attempt is counted and `sent_at` set by the transaction that marks it, before the call is made: after
    a crash the rows tell exactly which steps may have happened. An undo in flight has no `due_at`; one that
    waits for its next attempt has.
    """

    saga = models.ForeignKey(Saga, models.CASCADE, related_name="steps", verbose_name=_("saga"))
    name = models.CharField(_("step"), max_length=100)
    stage = models.PositiveIntegerField(_("stage"))
    status = FSMField(_("status"), default=T.PENDING, choices=T.choices, protected=True, max_length=20)
    waits_for = models.CharField(_("waits for"), max_length=10, choices=WaitsFor.choices, blank=True)
    in_doubt = models.BooleanField(_("in doubt"), default=False)
    """An earlier attempt may have taken effect."""

    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    crashes = models.PositiveIntegerField(_("crashes"), default=0)
    """Attempts that were lost with their worker; the retry policy does not count them."""
    undo_attempts = models.PositiveIntegerField(_("undo attempts"), default=0)
    undo_crashes = models.PositiveIntegerField(_("undo crashes"), default=0)
    round_base = models.PositiveIntegerField(_("attempts before this round"), default=0)
    """What the retry policy had counted when a person granted another round."""
    round_at = models.DateTimeField(_("round begun"), null=True, blank=True)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    """When the latest attempt, in either direction, was marked as sent."""
    inflight_until = models.DateTimeField(_("in flight until"), null=True, blank=True)
    """Until then an attempt of unknown outcome may still take effect, and is not undone."""
    due_at = models.DateTimeField(_("due"), null=True, blank=True)

    idempotency_key = models.UUIDField(_("idempotency key"))
    undo_key = models.UUIDField(_("undo key"))
    result = models.JSONField(_("result"), null=True, blank=True)
    error_class = models.CharField(_("error class"), max_length=200, blank=True)
    error = models.TextField(_("error"), blank=True)

    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    undo_started_at = models.DateTimeField(_("undo started"), null=True, blank=True)
    undo_ended_at = models.DateTimeField(_("undo ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("saga step")
        verbose_name_plural = _("saga steps")
        ordering = ("saga", "stage", "id")
        default_permissions = ("view",)
        constraints = (
            names_only(T, of="step"),
            models.UniqueConstraint(fields=("saga", "name"), name="sagas_step_once"),
            models.CheckConstraint(
                condition=~Q(status=T.WAITING) | ~Q(waits_for=""), name="sagas_step_waits_for"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} of saga {self.saga_id}"

    @property
    def direction(self) -> Direction:
        """Which way its attempts go now."""
        back = self.status in (T.COMPENSATING, T.COMPENSATED, T.COMPENSATION_FAILED)
        return Direction.BACK if back else Direction.FORWARD

    @property
    def in_flight(self) -> bool:
        """Whether an attempt is marked as sent and not settled."""
        return self.status == T.RUNNING or (self.status == T.COMPENSATING and self.due_at is None)

    def attempt_number(self, direction: Direction) -> int:
        """Return how many attempts were marked as sent in this direction."""
        return self.attempts if direction is Direction.FORWARD else self.undo_attempts

    def spent(self, direction: Direction) -> int:
        """Return how many attempts of this round the policy counts: those not lost with their worker."""
        return self.attempt_number(direction) - self.crash_count(direction) - self.round_base

    def crash_count(self, direction: Direction) -> int:
        """Return how many attempts were lost with their worker in this direction."""
        return self.crashes if direction is Direction.FORWARD else self.undo_crashes

    def first_sent_at(self, direction: Direction) -> datetime | None:
        """Return when the first attempt in this direction was marked as sent."""
        return self.started_at if direction is Direction.FORWARD else self.undo_started_at

    @transition(field=status, source=[T.PENDING, T.WAITING, T.RUNNING], target=T.RUNNING)
    def begin(self, *, now: datetime) -> None:
        """Mark an attempt as sent. `running` is among the sources for the take-over from a dead worker."""
        self.attempts += 1
        self.started_at = self.started_at or now
        self._sent(now)

    @transition(field=status, source=T.RUNNING, target=T.WAITING)
    def park(self, waits_for: WaitsFor, *, due_at: datetime, in_doubt: bool) -> None:
        """Wait until `due_at`, or for what `waits_for` names."""
        self.waits_for = waits_for
        self.due_at = due_at
        self.in_doubt = self.in_doubt or in_doubt

    @transition(field=status, source=[T.RUNNING, T.WAITING, T.UNKNOWN], target=T.COMPLETED)
    def complete(self, *, now: datetime) -> None:
        """The action is done."""
        self._settled(now)
        self.in_doubt = False
        self.error_class = self.error = ""

    @transition(field=status, source=[T.PENDING, T.RUNNING, T.WAITING], target=T.FAILED)
    def fail(self, *, now: datetime) -> None:
        """The action provably did not happen and will not be tried again."""
        self._settled(now)
        self.in_doubt = False

    @transition(field=status, source=[T.PENDING, T.RUNNING, T.WAITING], target=T.UNKNOWN)
    def doubt(self, *, now: datetime) -> None:
        """Give up without knowing whether it took effect; it is undone when its call cannot land any more."""
        self._settled(now)
        self.in_doubt = True
        self.due_at = self.inflight_until

    @transition(field=status, source=[T.COMPLETED, T.UNKNOWN, T.COMPENSATING], target=T.COMPENSATING)
    def undo(self, *, now: datetime) -> None:
        """Mark an attempt of the compensation as sent."""
        if self.status != T.COMPENSATING:
            self.round_base, self.round_at = 0, None
        self.undo_attempts += 1
        self.undo_started_at = self.undo_started_at or now
        self._sent(now)

    @transition(field=status, source=T.COMPENSATING, target=T.COMPENSATED)
    def undone(self, *, now: datetime) -> None:
        """The compensation reported done."""
        self.due_at = None
        self.undo_ended_at = now

    @transition(field=status, source=T.COMPENSATING, target=T.COMPENSATION_FAILED)
    def undo_failed(self, *, now: datetime) -> None:
        """The compensation was refused, or its attempts are used up."""
        self.due_at = None
        self.undo_ended_at = now

    @transition(
        field=status,
        source=[T.FAILED, T.UNKNOWN, T.COMPENSATION_FAILED],
        target=RETURN_VALUE(T.PENDING, T.COMPENSATING),
    )
    def again(self, *, now: datetime) -> StepStatus:
        """A person wants another round of attempts, at the action or at the compensation."""
        back = self.status == T.COMPENSATION_FAILED
        self.round_base += self.spent(Direction.BACK if back else Direction.FORWARD)
        self.round_at = None
        self.due_at = now
        if back:
            self.undo_ended_at = None
            return T.COMPENSATING
        self.ended_at = None
        return T.PENDING

    def _sent(self, now: datetime) -> None:
        self.round_at = self.round_at or now
        self.sent_at = now
        self.due_at = None
        self.waits_for = ""

    def _settled(self, now: datetime) -> None:
        self.due_at = None
        self.waits_for = ""
        self.ended_at = now
