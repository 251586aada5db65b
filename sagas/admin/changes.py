"""How a saga's data came to be: what each step added, and what operators replaced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from sagas.admin.payloads import cut
from sagas.models import HistoryEntry, SagaStep
from sagas.operations.privacy import Shown

MOST_LINES = 200
LONGEST = 300
"""Characters of a value."""


@dataclass(frozen=True)
class Line:
    """A value at a path that was added, or removed."""

    sign: str
    path: str
    value: str


@dataclass(frozen=True)
class Change:
    """What one step, or one act, did to the data."""

    title: str
    at: datetime | None
    lines: list[Line]


def changes(steps: Iterable[SagaStep], edits: Iterable[HistoryEntry], shown: Shown) -> list[Change]:
    """Return what changed a saga's data, in order of time."""
    found = [
        Change(step.name, step.ended_at, list(_lines({}, {"results": {step.name: shown(step.result)}})))
        for step in steps
        if step.result
    ]
    for entry in edits:
        data = shown(entry.data)
        title = _("Edited by %(name)s") % {"name": entry.actor or entry.get_actor_kind_display()}
        lines = _lines({"input": data.get("before", {})}, {"input": data.get("after", {})})
        found.append(Change(title, entry.at, list(lines)))
    return sorted(found, key=lambda change: (change.at is None, change.at))


def _lines(before: Any, after: Any) -> Iterator[Line]:
    for number, line in enumerate(_compared(before, after, "")):
        if number == MOST_LINES:
            return
        yield line


def _compared(before: Any, after: Any, path: str) -> Iterator[Line]:
    if isinstance(before, Mapping) and isinstance(after, Mapping) and (before or after):
        for name in [*before, *(name for name in after if name not in before)]:
            inner = f"{path}.{name}" if path else name
            yield from _compared(before.get(name, _NOTHING), after.get(name, _NOTHING), inner)
        return
    if before is _NOTHING and isinstance(after, Mapping) and after:
        yield from _compared({}, after, path)
        return
    if before == after:
        return
    if before is not _NOTHING:
        yield Line("-", path, cut(before, LONGEST))
    if after is not _NOTHING:
        yield Line("+", path, cut(after, LONGEST))


_NOTHING = object()
