"""When what ran: a row per step and direction, a bar per attempt, and long silences folded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from django.utils.translation import gettext as _

from sagas.admin.runs import Run
from sagas.admin.times import span
from sagas.states import Direction

MOST_BARS = 200
LONG = timedelta(seconds=30)
"""Silence that is folded."""
LABELS, WIDTH, ROW = 230, 1000, 26
"""Units of the picture: for the labels, in all, and for a row."""
FOLD = 0.03
"""Of the width of the bars, for each silence that is folded."""
THIN = 2


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
    runs: Sequence[Run]
    height: int
    can_fold: bool
    left_out: int
    """Runs, for which there is no room."""
    width: int = WIDTH
    row: int = ROW
    labels: int = LABELS


def timeline(runs: Sequence[Run], now: datetime, *, fold: bool) -> Timeline | None:
    """Draw a saga's runs; None if nothing has run."""
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
