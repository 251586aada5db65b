"""What is told of a saga's attempts: those that failed, came late, or were lost with their worker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from sagas.admin.fingerprints import Inputs
from sagas.admin.links import log_url
from sagas.admin.payloads import payload
from sagas.admin.times import span
from sagas.models import ActorKind, HistoryEntry, HistoryKind, Saga, SagaStep
from sagas.operations.privacy import Shown
from sagas.states import Direction, Outcome

OURS = ("/site-packages/", "/lib/python", "/sagas/engine/")
"""Where frames lie that are not the application's."""


@dataclass(frozen=True)
class AttemptRow:
    """An attempt that was told of."""

    title: str
    step: str
    at: datetime
    outcome: str
    is_bad: bool
    error_class: str
    error: str
    frames: str
    """The traceback without what is not the application's."""
    trace: str
    took: str
    key: str
    worker: str
    """Who made it; of one that was lost with its worker, who took over."""
    input: str
    """The fingerprint of what it was given."""
    log_url: str
    data: SafeString | None
    is_newest: bool
    """Of its step: what an operator wants to see first."""


def attempt_rows(
    saga: Saga, entries: Iterable[HistoryEntry], steps: dict[str, SagaStep], inputs: Inputs, shown: Shown
) -> list[AttemptRow]:
    """Return the attempts, in the order of the entries: newest first."""
    seen: set[str] = set()
    rows = []
    for entry in entries:
        step = steps.get(entry.step)
        rows.append(_row(saga, entry, step, inputs, shown, is_newest=entry.step not in seen))
        seen.add(entry.step)
    return rows


def _row(
    saga: Saga, entry: HistoryEntry, step: SagaStep | None, inputs: Inputs, shown: Shown, *, is_newest: bool
) -> AttemptRow:
    data = entry.data
    outcome = data.get("outcome", "")
    trace = data.get("trace", "")
    back = entry.direction == Direction.BACK
    key = (step.undo_key if back else step.idempotency_key) if step else ""
    return AttemptRow(
        title=title_of(entry),
        step=entry.step,
        at=entry.at,
        outcome=outcome_of(entry),
        is_bad=outcome in (Outcome.NOT_DONE, Outcome.UNKNOWN),
        error_class=data.get("class", ""),
        error=data.get("error", ""),
        frames=app_frames(trace),
        trace=trace,
        took=span(timedelta(seconds=data["seconds"])) if "seconds" in data else "",
        key=key,
        worker=entry.actor if entry.actor_kind == ActorKind.ENGINE else "",
        input=inputs.fingerprint(step, entry.direction, entry.at) if entry.attempt else "",
        log_url=log_url(saga, key, _began(saga, entry, step), entry.at) if step else "",
        data=payload(shown(data)) if entry.kind != HistoryKind.ATTEMPT else None,
        is_newest=is_newest,
    )


def _began(saga: Saga, entry: HistoryEntry, step: SagaStep | None) -> datetime:
    """Return when an attempt began, or what it cannot have begun before."""
    if "seconds" in entry.data:
        return entry.at - timedelta(seconds=entry.data["seconds"])
    direction = Direction(entry.direction or Direction.FORWARD)
    return (step.first_sent_at(direction) if step else None) or saga.created_at


def title_of(entry: HistoryEntry) -> str:
    """Return the step an entry is about, and which of its attempts."""
    if entry.attempt is None:
        return entry.step
    if entry.direction == Direction.BACK:
        return _("%(step)s, undo attempt %(number)d") % {"step": entry.step, "number": entry.attempt}
    return _("%(step)s, attempt %(number)d") % {"step": entry.step, "number": entry.attempt}


def app_frames(trace: str) -> str:
    """Return the frames of a traceback that are the application's own, and how it ends."""
    blocks: list[list[str]] = [[]]
    for line in trace.splitlines():
        if not line.startswith("    "):
            blocks.append([])
        blocks[-1].append(line)
    kept = [
        block
        for block in blocks
        if block and not (block[0].startswith("  File ") and any(place in block[0] for place in OURS))
    ]
    return "\n".join(line for block in kept for line in block)


def outcome_of(entry: HistoryEntry) -> str:
    """Return what an attempt came to."""
    if entry.kind == HistoryKind.EVIDENCE:
        return _("came late, and counts no more")
    if entry.kind == HistoryKind.TAKE_OVER:
        return _("taken over by another worker")
    outcome = entry.data.get("outcome", "")
    return str(Outcome(outcome).label) if outcome in Outcome.values else outcome
