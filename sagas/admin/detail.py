"""What a saga's page shows of it, in the order in which an operator reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Q
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sagas.admin.attempts import attempt_rows
from sagas.admin.badges import saga_badge, step_badge
from sagas.admin.batch_rows import batch_rows
from sagas.admin.changes import changes
from sagas.admin.chronicle import Chronicle, chronicle
from sagas.admin.entries import entry_row
from sagas.admin.events import event_rows
from sagas.admin.fingerprints import Inputs
from sagas.admin.graph import graph
from sagas.admin.holder import holder_and_locks
from sagas.admin.links import trace_url
from sagas.admin.payloads import payload
from sagas.admin.relatives import relatives
from sagas.admin.runs import Run, run_rows, runs_of
from sagas.admin.timeline import timeline
from sagas.admin.times import NOTHING, ago, moment
from sagas.admin.words import banner
from sagas.clock import DatabaseTime
from sagas.definitions import registry
from sagas.definitions.pictures import mermaid
from sagas.engine.locked import Locked
from sagas.models import Hold, Saga, SagaStep
from sagas.operations.privacy import Shown

Text = str | Promise | SafeString


@dataclass(frozen=True)
class Group:
    """Facts that belong together."""

    title: str
    facts: list[tuple[str, Text]]


@dataclass(frozen=True)
class StepRow:
    """A step."""

    step: SagaStep
    badge: SafeString
    attempts: Text
    undo_attempts: Text
    waits: Text
    times: list[tuple[str, Text]]
    result: SafeString | None


@dataclass(frozen=True)
class Asked:
    """What the address asks for: which entries of the history, and whether silences are folded."""

    only_acts: bool = False
    before: int | None = None
    fold: bool = True

    @classmethod
    def of(cls, query: Any) -> Asked:
        """Read a query string; what it cannot mean is passed over."""
        before = query.get("before", "")
        return cls(
            only_acts="acts" in query,
            before=int(before) if before.isdecimal() and len(before) < 19 else None,
            fold=query.get("fold") != "no",
        )


@dataclass(frozen=True)
class Detail:
    """A saga, and what is shown of it to whom. Each part is read once."""

    locked: Locked
    shown: Shown
    asked: Asked

    @property
    def saga(self) -> Saga:
        """The saga itself."""
        return self.locked.saga

    @property
    def context(self) -> dict[str, Any]:
        """What the templates need: seven statements at most beside those that read the saga."""
        saga, known = self.saga, self.saga.definition in registry
        history = chronicle(saga, only_acts=self.asked.only_acts, before=self.asked.before)
        inputs = Inputs(saga, history.edits)
        steps = list(self.locked.steps.values())
        participants = _participants(self.locked) if known else []
        holder, locks = holder_and_locks(saga)
        runs = self._runs(history, holder)
        drawn = timeline(runs, self.locked.now, fold=self.asked.fold)
        return {
            "saga": saga,
            "badge": saga_badge(saga),
            "identity": _identity(saga),
            "mermaid": mermaid(registry[saga.definition]) if known else "",
            "banner": banner(self.locked, _holds(saga, participants), known=known),
            "graph": graph(self.locked, known=known),
            "timeline": drawn,
            "runs": run_rows(saga, drawn.runs if drawn else (), self.locked.steps, inputs, self.locked.now),
            "attempts": attempt_rows(saga, history.told, self.locked.steps, inputs, self.shown),
            "groups": self._groups(holder, locks),
            "steps": [step_row(step, self.shown) for step in steps],
            "input": payload(self.shown(saga.input)),
            "changes": changes(steps, history.edits, self.shown),
            "entries": [entry_row(entry, self.shown) for entry in history.listed],
            "older": history.older,
            "events": event_rows(saga, self.shown),
            "batches": batch_rows(saga),
            "asked": self.asked,
            "relatives": relatives(saga),
            "trace_url": trace_url(saga),
            "looked_at": self.locked.now,
        }

    def _runs(self, history: Chronicle, holder: str) -> list[Run]:
        steps = self.locked.steps.values()
        runs = runs_of(self.saga, steps, history.told[::-1], history.workers)
        # Who makes an attempt right now is who holds the saga.
        return [replace(run, worker=holder) if run.attempt and run.ended is None else run for run in runs]

    def _groups(self, holder: str, locks: Sequence[str]) -> list[Group]:
        saga = self.saga
        return [
            Group(
                _("What it is"),
                [
                    (_("Definition"), _("%(name)s, version %(version)d") % _named(saga)),
                    (_("Business key"), copyable(saga.key) if saga.key else NOTHING),
                    (_("Correlation id"), saga.correlation_id),
                    (_("Started by"), saga.started_by or NOTHING),
                ],
            ),
            Group(
                _("Where it stands"),
                [
                    (_("Direction"), saga.get_direction_display()),
                    (_("Progress"), progress(saga)),
                    (_("Current step"), saga.current_step or NOTHING),
                    (_("Attention"), saga.get_attention_display() or NOTHING),
                    (_("Locks held"), ", ".join(locks) or NOTHING),
                    (_("Revision"), str(saga.revision)),
                ],
            ),
            Group(
                _("When"),
                [
                    (_("Created"), moment(saga.created_at)),
                    (_("Last change"), moment(saga.updated_at)),
                    (_("Ended"), moment(saga.ended_at)),
                    (_("Lease ends") if holder else _("Due"), moment(saga.due_at)),
                    (_("Deadline"), moment(saga.deadline_at)),
                    (_("Held by"), holder or NOTHING),
                ],
            ),
        ]


def progress(saga: Saga) -> str:
    """Return how many steps are done, of how many."""
    return f"{saga.steps_done}/{saga.steps_total}"


def step_row(step: SagaStep, shown: Shown) -> StepRow:
    """Return a step for the table."""
    return StepRow(
        step=step,
        badge=step_badge(step),
        attempts=_attempts(step.attempts, step.crashes),
        undo_attempts=_attempts(step.undo_attempts, step.undo_crashes),
        waits=_waits(step),
        times=[
            (_("Started"), moment(step.started_at)),
            (_("Ended"), moment(step.ended_at)),
            (_("Undo started"), moment(step.undo_started_at)),
            (_("Undo ended"), moment(step.undo_ended_at)),
        ],
        result=None if step.result is None else payload(shown(step.result)),
    )


def _identity(saga: Saga) -> list[Text]:
    """Say which saga it is: what one looks at first, and passes on to others."""
    by = _("started {time} by {name}") if saga.started_by else _("started {time}")
    return [
        _("%(name)s, version %(version)d") % _named(saga),
        copyable(saga.pk),
        format_html(by, time=ago(saga.created_at), name=saga.started_by),
    ]


def _named(saga: Saga) -> dict[str, Any]:
    return {"name": saga.definition, "version": saga.version}


def copy_button(value: Any, title: str, label: str) -> SafeString:
    """Return a button that copies a value; the script shows it, which it takes."""
    button = (
        '<button type="button" class="saga-copy" data-copy="{}" title="{}" aria-label="{}" hidden>{}</button>'
    )
    return format_html(button, value, title, title, label)


def copyable(value: Any) -> SafeString:
    """Return a value that can be copied."""
    return format_html("<code>{}</code> {}", value, copy_button(value, _("Copy"), _("Copy")))


def _participants(locked: Locked) -> list[str]:
    elements = locked.outline.steps.values()
    return [element.participant.name for element in elements if element.participant is not None]


def _holds(saga: Saga, participants: Sequence[str]) -> list[Hold]:
    if not saga.is_live:
        return []
    on = Q(definition=saga.definition) | Q(participant__in=participants)
    return list(Hold.objects.filter(on, Q(until=None) | Q(until__gt=DatabaseTime())))


def _attempts(number: int, crashes: int) -> str:
    if not crashes:
        return str(number) if number else NOTHING
    lost = ngettext("%(number)d lost with its worker", "%(number)d lost with their workers", crashes)
    return f"{number} ({lost % {'number': crashes}})"


def _waits(step: SagaStep) -> Text:
    if step.due_at is None:
        return step.get_waits_for_display() or NOTHING
    return format_html("{}<div>{}</div>", step.get_waits_for_display() or _("until"), moment(step.due_at))


def data_of(locked: Locked, shown: Shown) -> dict[str, Any]:
    """Return a saga's data whole, as a file."""
    saga = locked.saga
    return {
        "saga": str(saga.pk),
        "definition": saga.definition,
        "version": saga.version,
        "input": shown(saga.input),
        "results": {
            name: shown(step.result) for name, step in locked.steps.items() if step.result is not None
        },
    }
