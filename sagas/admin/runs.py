"""What ran of a saga: its attempts and waits, and who made which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from django.utils.translation import gettext as _

from sagas.admin.fingerprints import Inputs
from sagas.admin.links import log_url
from sagas.models import HistoryEntry, Saga, SagaStep
from sagas.states import Direction, Outcome, StepKind, StepStatus

_TONES = {Outcome.NOT_DONE: "bad", Outcome.LATER: "waiting", Outcome.UNKNOWN: "bad", Outcome.DONE: "good"}


@dataclass(frozen=True)
class Run:
    """One attempt, or one wait."""

    step: str
    direction: Direction
    attempt: int | None
    """None for what only waits: an event, an approval, a time."""
    queued: datetime
    """Since when nothing kept it from running but its turn, or its next attempt's time."""
    began: datetime
    ended: datetime | None
    """None while it runs."""
    outcome: str
    tone: str
    sent: datetime | None = None
    """When it was written down as sent, where that is told to the microsecond."""
    worker: str = ""
    """Who made it; empty where that is not told."""


def runs_of(
    saga: Saga,
    steps: Iterable[SagaStep],
    told: Sequence[HistoryEntry],
    workers: Mapping[datetime, str] = MappingProxyType({}),
) -> list[Run]:
    """Return what ran, in the order in which it began.

    `told` are the entries of its attempts, and `workers` says who wrote at which moment.
    """
    by_attempt: dict[tuple[str, str], dict[int, HistoryEntry]] = defaultdict(dict)
    for entry in told:
        if entry.attempt is not None and "outcome" in entry.data:
            by_attempt[entry.step, entry.direction or Direction.FORWARD][entry.attempt] = entry
    runs: list[Run] = []
    reached = saga.created_at
    stage, stage_ended = None, saga.created_at
    for step in steps:
        if step.stage != stage:
            stage, reached = step.stage, max(reached, stage_ended)
        if step.started_at is not None:
            runs += _forward(step, reached, by_attempt[step.name, Direction.FORWARD])
            stage_ended = max(stage_ended, step.ended_at or step.started_at)
        if step.undo_started_at is not None:
            runs += _back(step, by_attempt[step.name, Direction.BACK])
    return _attributed(sorted(runs, key=lambda run: run.began), workers)


def _attributed(runs: list[Run], workers: Mapping[datetime, str]) -> list[Run]:
    """Say who made which attempt, as far as that follows.

    What was written at one moment was written by one worker, and whoever sends an attempt settles it.
    """
    known = dict(workers)
    while True:
        found = {
            moment: known[other]
            for run in runs
            if run.sent is not None and run.ended is not None
            for moment, other in ((run.sent, run.ended), (run.ended, run.sent))
            if other in known and moment not in known
        }
        if not found:
            break
        known |= found
    return [
        replace(run, worker=next((known[at] for at in (run.sent, run.ended) if at in known), ""))
        if run.attempt is not None
        else run
        for run in runs
    ]


@dataclass(frozen=True)
class RunRow:
    """A run for the table."""

    run: Run
    input: str
    """The fingerprint of what it was given."""
    log_url: str


def run_rows(
    saga: Saga, runs: Iterable[Run], steps: Mapping[str, SagaStep], inputs: Inputs, now: datetime
) -> Iterator[RunRow]:
    """Yield the runs; of those that are attempts, what they were given and where their logs are."""
    for run in runs:
        if run.attempt is None:
            yield RunRow(run, "", "")
            continue
        step, ended = steps[run.step], run.ended or now
        key = step.undo_key if run.direction is Direction.BACK else step.idempotency_key
        given = inputs.fingerprint(step, run.direction, ended)
        yield RunRow(run, given, log_url(saga, key, run.began, ended))


def _forward(step: SagaStep, queued: datetime, told: Mapping[int, HistoryEntry]) -> Iterator[Run]:
    assert step.started_at is not None
    if step.kind != StepKind.STEP:
        tone = "good" if step.status == StepStatus.COMPLETED else "waiting"
        yield Run(
            step.name,
            Direction.FORWARD,
            None,
            min(queued, step.started_at),
            step.started_at,
            step.ended_at,
            step.get_status_display(),
            tone,
        )
        return
    last_sent = step.sent_at if step.undo_started_at is None else None
    yield from _attempts(
        step, Direction.FORWARD, step.attempts, queued, step.started_at, step.ended_at, last_sent, told
    )


def _back(step: SagaStep, told: Mapping[int, HistoryEntry]) -> Iterator[Run]:
    began = step.undo_started_at
    assert began is not None
    yield from _attempts(
        step, Direction.BACK, step.undo_attempts, began, began, step.undo_ended_at, step.sent_at, told
    )


def _attempts(
    step: SagaStep,
    direction: Direction,
    number: int,
    queued: datetime,
    first: datetime,
    ended: datetime | None,
    last_sent: datetime | None,
    told: Mapping[int, HistoryEntry],
) -> Iterator[Run]:
    """Yield the attempts at a step: those that failed are told of, the last one the row tells."""
    before = min(queued, first)
    for attempt, entry in sorted(told.items()):
        began = max(entry.at - timedelta(seconds=entry.data.get("seconds", 0)), before)
        outcome = Outcome(entry.data["outcome"])
        yield Run(
            step.name,
            direction,
            attempt,
            before,
            began,
            entry.at,
            str(outcome.label),
            _TONES.get(outcome, "bad"),
            sent=first if attempt == 1 else None,
        )
        before = entry.at
    if number > max(told, default=0):
        began = max(last_sent or first, before) if told or last_sent else first
        done = ended is not None or not step.in_flight
        outcome_label = _("done") if done else _("running")
        end = max(ended, began) if ended else (began if done else None)
        tone = "good" if done else "active"
        sent = last_sent or (first if number == 1 else None)
        yield Run(step.name, direction, number, before, began, end, outcome_label, tone, sent=sent)
