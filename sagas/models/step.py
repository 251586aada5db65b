"""One step of a saga: where it stands, forward and back, and what its attempts came to."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django_fsm import RETURN_VALUE, transition

from sagas.models.saga import Saga
from sagas.models.status import StatusField, StatusModel, names_only
from sagas.states import Call, Direction, StepKind, StepStatus, WaitsFor

T = StepStatus

# Asked for each step at each border: of an enum to get a member takes Python as long as to call a function.
_IN_FLIGHT = frozenset({T.RUNNING, T.COMPENSATING})
_BACK = frozenset({T.COMPENSATING, T.COMPENSATED, T.COMPENSATION_FAILED})


class SagaStep(StatusModel):
    """One step of a saga.

    An attempt is counted and `sent_at` set by the transaction that marks it, before the call is made: after
    a crash the rows tell exactly which steps may have happened. An undo in flight has no `due_at`; one that
    waits for its next attempt has.
    """

    # The unique constraint below serves as the foreign key's index.
    saga = models.ForeignKey(
        Saga, models.CASCADE, db_index=False, related_name="steps", verbose_name=_("saga")
    )
    name = models.CharField(_("step"), max_length=100)
    stage = models.PositiveIntegerField(_("stage"))
    kind = models.CharField(_("kind"), max_length=10, choices=StepKind.choices, default=StepKind.STEP)
    status = StatusField(_("status"), default=T.PENDING, choices=T.choices, protected=True, max_length=20)
    call = models.CharField(_("calls"), max_length=10, choices=Call.choices, default=Call.ACTION)
    """Which function the attempt in flight calls, or the last one called."""
    applies = models.BooleanField(_("applies"), null=True, blank=True)
    """What its condition said; None before it was asked, or without one."""
    waits_for = models.CharField(_("waits for"), max_length=10, choices=WaitsFor.choices, blank=True)
    waits_on = models.CharField(_("waits on"), max_length=320, blank=True)
    """Which event, lock, limit or hold it waits for."""
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

    idempotency_key = models.CharField(_("idempotency key"), max_length=255, blank=True)
    """Empty until the step begins, where a template makes it."""
    undo_key = models.CharField(_("undo key"), max_length=255, blank=True)
    given_input = models.JSONField(_("given input"), null=True, blank=True)
    """What its action was given, where the saga's input has been edited since."""
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
        indexes = (models.Index("waits_on", "id", name="sagas_step_waits_on", condition=~Q(waits_on="")),)

    def __str__(self) -> str:
        return f"{self.name} of saga {self.saga_id}"

    @property
    def direction(self) -> Direction:
        """Which way its attempts go now."""
        return Direction.BACK if self.status in _BACK else Direction.FORWARD

    @property
    def in_flight(self) -> bool:
        """Whether an attempt is marked as sent and not settled."""
        status = self.status
        return status in _IN_FLIGHT and (status == T.RUNNING or self.due_at is None)

    @classmethod
    def with_attempts_in_flight(cls) -> models.QuerySet[SagaStep]:
        """Select the steps that are `in_flight`."""
        return cls.objects.filter(Q(status=T.RUNNING) | Q(status=T.COMPENSATING, due_at=None))

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
    def begin(self, *, now: datetime, call: Call = Call.ACTION) -> None:
        """Mark an attempt as sent. `running` is among the sources for the take-over from a dead worker."""
        self.call = call
        if call is Call.PROBE:
            self.waits_for, self.due_at = "", None
            return
        self.attempts += 1
        if call is Call.ACTION:
            self.started_at = self.started_at or now
        self._sent(now)

    @transition(field=status, source=[T.PENDING, T.RUNNING, T.WAITING], target=T.WAITING)
    def park(
        self, waits_for: WaitsFor, *, due_at: datetime, in_doubt: bool = False, waits_on: str = ""
    ) -> None:
        """Wait until `due_at`, or for what `waits_for` and `waits_on` name."""
        self.waits_for = waits_for
        self.waits_on = waits_on
        self.due_at = due_at
        self.in_doubt = self.in_doubt or in_doubt

    @transition(field=status, source=T.RUNNING, target=T.PENDING)
    def answer(self, applies: bool) -> None:
        """Its condition was asked, and those attempts count no more."""
        self.applies = applies
        self.attempts = self.crashes = 0
        self.sent_at = self.round_at = None
        self.call = Call.ACTION

    @transition(
        field=status,
        source=[T.PENDING, T.RUNNING, T.WAITING, T.FAILED, T.UNKNOWN, T.COMPENSATED],
        target=T.SKIPPED,
    )
    def skip(self, *, now: datetime) -> None:
        """Pass it by: nothing of it is done, and nothing of it is undone."""
        self._settled(now)
        self.in_doubt = False

    @transition(field=status, source=[T.RUNNING, T.WAITING, T.UNKNOWN], target=T.COMPLETED)
    def complete(self, *, now: datetime) -> None:
        """The action is done."""
        self._settled(now)
        self.in_doubt = False
        self.error_class = self.error = ""

    @transition(field=status, source=[T.PENDING, T.RUNNING, T.WAITING, T.UNKNOWN], target=T.FAILED)
    def fail(self, *, now: datetime) -> None:
        """The action provably did not happen and will not be tried again."""
        self._settled(now)
        self.in_doubt = False

    @transition(field=status, source=[T.PENDING, T.RUNNING, T.WAITING], target=T.UNKNOWN)
    def doubt(self, *, now: datetime) -> None:
        """Give up without knowing whether it took effect; it is undone when its call cannot land any more."""
        self._settled(now)
        self.in_doubt = True
        self.call = Call.ACTION  # Whoever tries it again asks its probe anew.
        self.due_at = self.inflight_until

    @transition(field=status, source=[T.COMPLETED, T.UNKNOWN, T.COMPENSATING], target=T.COMPENSATING)
    def undo(self, *, now: datetime) -> None:
        """Mark an attempt of the compensation as sent."""
        if self.status != T.COMPENSATING:
            self.round_base, self.round_at = 0, None
            self.call = Call.ACTION
        self.undo_attempts += 1
        self.undo_started_at = self.undo_started_at or now
        self._sent(now)

    @transition(field=status, source=T.COMPENSATING, target=T.COMPENSATED)
    def undone(self, *, now: datetime) -> None:
        """The compensation reported done."""
        self.due_at = None
        self.undo_ended_at = now

    @transition(field=status, source=T.COMPENSATED, target=T.COMPENSATING)
    def undo_again(self, *, now: datetime, key: str) -> None:
        """It took effect after it was undone: undo it once more, under a key that nobody has answered."""
        self.round_base += self.spent(Direction.BACK)
        self.round_at = None
        self.undo_key = key
        self.undo_started_at = self.undo_ended_at = None
        self.due_at = now

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
        self.waits_for = self.waits_on = ""

    def _settled(self, now: datetime) -> None:
        self.due_at = None
        self.waits_for = self.waits_on = ""
        self.ended_at = now
