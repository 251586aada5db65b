"""When what ran: a row per step and direction, a bar per attempt, and long silences folded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from django.utils.translation import gettext as _

from sagas.admin.times import span
from sagas.models import HistoryEntry, Saga, SagaStep
from sagas.states import Direction, Outcome, StepKind, StepStatus

MOST_BARS = 200
LONG = timedelta(seconds=30)
"""Silence that is folded."""
LABELS, WIDTH, ROW = 230, 1000, 26
"""Units of the picture: for the labels, in all, and for a row."""
FOLD = 0.03
"""Of the width of the bars, for each silence that is folded."""
THIN = 2

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


@dataclass(frozen=True)
class Bar:
    """A run, drawn."""

    waited_x: float
    waited_width: float
    x: float
    width: float
    tone: str
    is_back: bool
    title: str


@dataclass(frozen=True)
class Lane:
    """A step in one direction, drawn."""

    label: str
    title: str
    y: int
    bars: list[Bar]


@dataclass(frozen=True)
class Fold:
    """A silence, drawn."""

    x: float
    width: float
    title: str


@dataclass(frozen=True)
class Timeline:
    """What is drawn, and the same as a table."""

    lanes: list[Lane]
    folds: list[Fold]
    runs: list[Run]
    height: int
    can_fold: bool
    left_out: int
    """Runs, for which there is no room."""
    width: int = WIDTH
    row: int = ROW
    labels: int = LABELS


def timeline(
    saga: Saga, steps: Iterable[SagaStep], told: Sequence[HistoryEntry], now: datetime, *, fold: bool
) -> Timeline | None:
    """Draw a saga's runs; None if nothing has run. `told` are the entries of its attempts, oldest first."""
    runs = runs_of(saga, steps, told)
    if not runs:
        return None
    left_out = max(0, len(runs) - MOST_BARS)
    runs = runs[-MOST_BARS:]
    scale = Scale.of(runs, now, fold=fold)
    lanes: dict[tuple[str, Direction], list[Bar]] = defaultdict(list)
    for run in runs:
        lanes[run.step, run.direction].append(_bar(run, scale, now))
    drawn = [
        Lane(_label(step, direction), _name(step, direction), ROW * at, bars)
        for at, ((step, direction), bars) in enumerate(lanes.items())
    ]
    folds = [
        Fold(x, width, _("nothing ran for %(time)s") % {"time": span(length)})
        for x, width, length in scale.folds
    ]
    return Timeline(
        drawn, folds, runs, ROW * len(drawn), bool(Scale.of(runs, now, fold=True).folds), left_out
    )


def runs_of(saga: Saga, steps: Iterable[SagaStep], told: Sequence[HistoryEntry]) -> list[Run]:
    """Return what ran, in the order in which it began."""
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
    return sorted(runs, key=lambda run: run.began)


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
        )
        before = entry.at
    if number > max(told, default=0):
        began = max(last_sent or first, before) if told or last_sent else first
        done = ended is not None or not step.in_flight
        outcome_label = _("done") if done else _("running")
        end = max(ended, began) if ended else (began if done else None)
        yield Run(
            step.name, direction, number, before, began, end, outcome_label, "good" if done else "active"
        )


@dataclass(frozen=True)
class Scale:
    """From times to places, with what is folded taken out."""

    pieces: list[tuple[datetime, datetime, float, float]]
    """From when to when, and from where to where, as parts of one."""
    folds: list[tuple[float, float, timedelta]]

    @classmethod
    def of(cls, runs: Sequence[Run], now: datetime, *, fold: bool) -> Scale:
        """Measure the time that the runs take."""
        busy = sorted((run.began, run.ended or now) for run in runs)
        start, end = busy[0][0], max(ended for _began, ended in busy)
        if (waited := start - min(run.queued for run in runs)) <= LONG:
            start -= waited
        silences = list(_silences(busy)) if fold else []
        cuts = [start, *(moment for silence in silences for moment in silence), end]
        shown = [(a, b) for at, (a, b) in enumerate(pairwise(cuts)) if at % 2 == 0]
        seconds = sum((b - a).total_seconds() for a, b in shown) or 1.0
        room = 1.0 - FOLD * len(silences)
        pieces, folds, x = [], [], 0.0
        for at, (a, b) in enumerate(shown):
            width = room * (b - a).total_seconds() / seconds
            pieces.append((a, b, x, width))
            x += width
            if at < len(silences):
                folds.append((_place(x), FOLD * (WIDTH - LABELS), silences[at][1] - silences[at][0]))
                x += FOLD
        return cls(pieces, folds)

    def __call__(self, moment: datetime) -> float:
        """Return where a time is; within a silence, where that ends."""
        place = 0.0
        for start, end, x, width in self.pieces:
            if moment < start:
                return _place(x)
            length = (end - start).total_seconds()
            place = x + width * (min((moment - start).total_seconds() / length, 1.0) if length else 0.0)
            if moment <= end:
                break
        return _place(place)


def _silences(busy: Sequence[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    until = busy[0][1]
    for began, ended in busy[1:]:
        if began - until > LONG:
            yield until, began
        until = max(until, ended)


def _place(part: float) -> float:
    return round(LABELS + part * (WIDTH - LABELS), 1)


def _bar(run: Run, scale: Scale, now: datetime) -> Bar:
    ended = run.ended or now
    x, end, waited = scale(run.began), scale(ended), scale(run.queued)
    width = max(round(end - x, 1), THIN)
    x = min(x, WIDTH - width)
    return Bar(
        waited_x=waited,
        waited_width=max(round(x - waited, 1), 0),
        x=x,
        width=width,
        tone=run.tone,
        is_back=run.direction is Direction.BACK,
        title=_title(run, ended),
    )


def _title(run: Run, ended: datetime) -> str:
    told = {
        "step": _name(run.step, run.direction),
        "outcome": run.outcome,
        "waited": span(run.began - run.queued),
        "ran": span(ended - run.began),
        "attempt": run.attempt,
    }
    if run.attempt is None:
        return _("%(step)s: %(outcome)s after %(ran)s") % told
    return _("%(step)s, attempt %(attempt)d: %(outcome)s; waited %(waited)s, ran %(ran)s") % told


def _name(step: str, direction: Direction) -> str:
    return _("undo %(step)s") % {"step": step} if direction is Direction.BACK else step


def _label(step: str, direction: Direction) -> str:
    name = _name(step, direction)
    return name if len(name) <= 28 else name[:27] + "…"
