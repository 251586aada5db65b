"""Entries of a saga's history, in words."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.safestring import SafeString

from sagas.admin.attempts import outcome_of, title_of
from sagas.admin.payloads import payload
from sagas.admin.times import moment
from sagas.models import HistoryEntry, HistoryKind
from sagas.operations.catalogue import OPERATIONS
from sagas.operations.privacy import Shown
from sagas.states import SagaStatus

Text = str | Promise | SafeString

TOLD = (HistoryKind.ATTEMPT, HistoryKind.EVIDENCE, HistoryKind.TAKE_OVER)
"""What is told in full among the attempts."""


@dataclass(frozen=True)
class EntryRow:
    """An entry of the history."""

    entry: HistoryEntry
    at: Text
    who: Text
    operation: Text
    change: Text
    """From which status to which."""
    said: str
    """The operator’s reason, or what an attempt came to."""
    step: Text
    data: SafeString | None


def entry_row(entry: HistoryEntry, shown: Shown) -> EntryRow:
    """Return an entry of the history for the table. What is told of an attempt stands there."""
    is_told = entry.kind in TOLD
    return EntryRow(
        entry=entry,
        at=moment(entry.at),
        who=who(entry),
        operation=operation_of(entry),
        change=change_of(entry),
        said=f"{outcome_of(entry)} {entry.data.get('class', '')}".strip() if is_told else entry.reason,
        step=title_of(entry),
        data=None if is_told or not entry.data else payload(shown(entry.data)),
    )


def who(entry: HistoryEntry) -> str:
    """Return who did it."""
    return entry.actor or entry.get_actor_kind_display()


def operation_of(entry: HistoryEntry) -> Text:
    """Return what was asked."""
    known = OPERATIONS.get(entry.operation)
    return known.label if known else entry.operation


def change_of(entry: HistoryEntry) -> str:
    """Return from which status the saga went to which; empty if to none."""
    labels = dict(SagaStatus.choices)
    return f"{labels.get(entry.from_status, '')} → {labels[entry.to_status]}" if entry.to_status else ""
