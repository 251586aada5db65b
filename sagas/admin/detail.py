"""What a saga's page shows of it, in the order in which an operator reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sagas.admin.badges import step_badge
from sagas.admin.payloads import payload
from sagas.admin.times import NOTHING, moment
from sagas.models import HistoryEntry, Saga, SagaStep, Worker
from sagas.states import Direction

Text = str | Promise | SafeString

MOST_ENTRIES = 200
"""Entries of the history on the page; the list of all of them is one click away."""


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
class EntryRow:
    """An entry of the history."""

    entry: HistoryEntry
    at: Text
    who: Text
    step: Text
    data: SafeString | None


def groups(saga: Saga) -> list[Group]:
    """Return the saga's own facts."""
    return [
        Group(
            _("What it is"),
            [
                (_("Id"), format_html("<code>{}</code>", saga.pk)),
                (_("Definition"), _("%(name)s, version %(version)d") % _named(saga)),
                (_("Business key"), saga.key or NOTHING),
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
                (_("Revision"), str(saga.revision)),
            ],
        ),
        Group(
            _("When"),
            [
                (_("Created"), moment(saga.created_at)),
                (_("Last change"), moment(saga.updated_at)),
                (_("Ended"), moment(saga.ended_at)),
                (_("Due"), moment(saga.due_at)),
                (_("Held by"), _holder(saga)),
            ],
        ),
    ]


def progress(saga: Saga) -> str:
    """Return how many steps are done, of how many."""
    return f"{saga.steps_done}/{saga.steps_total}"


def step_rows(saga: Saga) -> list[StepRow]:
    """Return the saga's steps in their order."""
    return [
        StepRow(
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
            result=None if step.result is None else payload(step.result),
        )
        for step in saga.steps.all()
    ]


def entry_rows(saga: Saga) -> list[EntryRow]:
    """Return the newest entries of the saga's history, newest first."""
    entries: Iterable[HistoryEntry] = saga.history.order_by("-id")[:MOST_ENTRIES]
    return [
        EntryRow(
            entry=entry,
            at=moment(entry.at),
            who=who(entry),
            step=attempt(entry),
            data=payload(entry.data) if entry.data else None,
        )
        for entry in entries
    ]


def who(entry: HistoryEntry) -> str:
    """Return who did it."""
    return entry.actor or entry.get_actor_kind_display()


def attempt(entry: HistoryEntry) -> str:
    """Return the step it is about, and which of its attempts."""
    if entry.attempt is None:
        return entry.step
    if entry.direction == Direction.BACK:
        return _("%(step)s, undo attempt %(number)d") % {"step": entry.step, "number": entry.attempt}
    return _("%(step)s, attempt %(number)d") % {"step": entry.step, "number": entry.attempt}


def _named(saga: Saga) -> dict[str, Any]:
    return {"name": saga.definition, "version": saga.version}


def _holder(saga: Saga) -> Text:
    if saga.held_by is None:
        return NOTHING
    worker = Worker.objects.filter(pk=saga.held_by).first()
    return str(worker) if worker else _("a worker that is gone (%(id)s)") % {"id": saga.held_by}


def _attempts(number: int, crashes: int) -> str:
    if not crashes:
        return str(number) if number else NOTHING
    lost = ngettext("%(number)d lost with its worker", "%(number)d lost with their workers", crashes)
    return f"{number} ({lost % {'number': crashes}})"


def _waits(step: SagaStep) -> Text:
    if step.due_at is None:
        return step.get_waits_for_display() or NOTHING
    return format_html("{}<div>{}</div>", step.get_waits_for_display() or _("until"), moment(step.due_at))
