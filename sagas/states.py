"""The states a saga and its steps can be in, and the words for what an attempt came to."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class SagaKind(TextChoices):
    """Who conducts a saga."""

    ORCHESTRATION = "orchestration", _("orchestration")
    """The engine, by its definition."""
    CHOREOGRAPHY = "choreography", _("choreography")
    """Nobody: events lead from one participant to the next."""


class SagaStatus(TextChoices):
    """Where a saga stands. *Live* is every status that is not terminal."""

    PENDING = "pending", _("pending")
    """Started; no worker has taken it yet."""
    RUNNING = "running", _("running")
    """Going forward."""
    COMPENSATING = "compensating", _("compensating")
    """Turned back: what was done is being undone."""
    SUSPENDED = "suspended", _("suspended")
    """Stopped by a person, to be resumed by a person."""
    FAILED = "failed", _("failed")
    """Halted: neither way is safe without a person; `Attention` says why."""
    COMPLETED = "completed", _("completed")
    """Every step was done."""
    COMPENSATED = "compensated", _("compensated")
    """Each compensation reported done."""
    ABANDONED = "abandoned", _("abandoned")
    """A person ended it without compensation."""


# Tuples, for their order goes into migrations.
TERMINAL = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.ABANDONED)
AT_WORK = (SagaStatus.PENDING, SagaStatus.RUNNING, SagaStatus.COMPENSATING)
"""The statuses in which the engine moves a saga without being asked."""
AT_REST = (SagaStatus.SUSPENDED, SagaStatus.FAILED)
"""The statuses in which a saga waits for a person."""
LIVE = AT_WORK + AT_REST


class StepStatus(TextChoices):
    """Where a step stands, forward and back."""

    PENDING = "pending", _("pending")
    """Never begun."""
    RUNNING = "running", _("running")
    """Marked as sent: the action may have happened from here on."""
    WAITING = "waiting", _("waiting")
    """Between attempts, or waiting for what `waits_for` names."""
    COMPLETED = "completed", _("completed")
    """The action is done and its result is stored."""
    FAILED = "failed", _("failed")
    """The action provably did not happen."""
    UNKNOWN = "unknown", _("unknown")
    """Given up, and whether the action took effect is not known."""
    SKIPPED = "skipped", _("skipped")
    """Passed by: nothing was done, and nothing is undone."""
    COMPENSATING = "compensating", _("compensating")
    """Being undone; between attempts `due_at` is set."""
    COMPENSATED = "compensated", _("compensated")
    """The compensation reported done."""
    COMPENSATION_FAILED = "compensation_failed", _("compensation failed")
    """The compensation was refused or its attempts are used up."""


class Direction(TextChoices):
    """Which way a saga goes, also while `failed` or `suspended`, which do not say."""

    FORWARD = "forward", _("forward")
    BACK = "back", _("back")


class Attention(TextChoices):
    """Why a saga needs a person."""

    STEP_EXHAUSTED = "step_exhausted", _("a step's attempts are used up")
    COMPENSATION_FAILED = "compensation_failed", _("a compensation failed")
    UNKNOWN_OUTCOME = "unknown_outcome", _("it is not known whether a step took effect")
    CRASH_LOOP = "crash_loop", _("a step kills its worker")
    DEFINITION_DRIFT = "definition_drift", _("the code no longer fits the saga")
    PAST_PIVOT = "past_pivot", _("a step failed after the point of no return")
    LATE_EFFECT = "late_effect", _("a step took effect after it was undone")
    LATE_EVENT = "late_event", _("the event that decides came after its time was up")
    DEADLINE = "deadline", _("its deadline passed after the point of no return")
    MISSING_EVENT = "missing_event", _("an expected event is missing")
    DEAD_LETTER = "dead_letter", _("the delivery of an event was given up")
    DELIVERY_HELD = "delivery_held", _("the delivery of an event is held")


NOTICES = (
    Attention.LATE_EFFECT,
    Attention.DEADLINE,
    Attention.MISSING_EVENT,
    Attention.DEAD_LETTER,
    Attention.DELIVERY_HELD,
)
"""What a person should know although the saga goes on, or has ended."""


class StepKind(TextChoices):
    """What sort of element a step is."""

    STEP = "step", _("step")
    EVENT = "event", _("wait for an event")
    APPROVAL = "approval", _("approval")
    SLEEP = "sleep", _("sleep")
    SAGA = "saga", _("child saga")
    SAGAS = "sagas", _("child sagas")


FAMILY = frozenset({StepKind.SAGA, StepKind.SAGAS})
"""What consists of child sagas."""


class Call(TextChoices):
    """Which function of a step an attempt calls."""

    ACTION = "action", _("action")
    """The action, or on the way back the compensation."""
    CONDITION = "condition", _("condition")
    """Whether the step applies: its `when`."""
    PROBE = "probe", _("probe")
    """Whether an attempt of unknown outcome took effect."""


class WaitsFor(TextChoices):
    """What a waiting step waits for."""

    RETRY = "retry", _("the next attempt")
    EVENT = "event", _("an event")
    APPROVAL = "approval", _("an approval")
    TIMER = "timer", _("its time")
    CHILD = "child", _("child sagas")
    LOCK = "lock", _("a semantic lock")
    LIMIT = "limit", _("room under a limit")
    HOLD = "hold", _("the release of a hold")


ADMISSION = (WaitsFor.LOCK, WaitsFor.LIMIT, WaitsFor.HOLD)
"""What a step waits for before it begins: nothing of it has happened."""


class Outcome(TextChoices):
    """What one attempt came to."""

    DONE = "done", _("done")
    """The call returned."""
    NOT_DONE = "not_done", _("not done")
    """Nothing happened, provably, and no further attempt will change that."""
    LATER = "later", _("later")
    """Nothing happened, provably; the same call may be tried again."""
    UNKNOWN = "unknown", _("unknown")
    """Whether it took effect is not known."""
    UNSENT = "unsent", _("unsent")
    """The worker gave the attempt back without having made the call."""
