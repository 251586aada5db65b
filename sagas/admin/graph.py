"""A saga's steps as a picture: the way forward, and below it the way back. Drawn here, without a script."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from django.utils.translation import gettext as _

from sagas.admin.badges import step_mark
from sagas.engine.locked import Locked
from sagas.models import SagaStep
from sagas.states import Direction, StepStatus

MOST_STEPS = 30
"""Of more steps the table says more than a picture."""

WIDTH, HEIGHT = 158, 38
GAP, ROW, MARGIN = 26, 50, 6
LETTERS = 17
"""That a node has room for."""


@dataclass(frozen=True)
class Node:
    """A step, or its undo, at its place."""

    x: int
    y: int
    label: str
    title: str
    glyph: str
    tone: str
    is_pivot: bool = False

    @property
    def text_x(self) -> int:
        return self.x + 12

    @property
    def text_y(self) -> int:
        return self.y + HEIGHT // 2 + 5


@dataclass(frozen=True)
class Arrow:
    """From one node to the next; on the way back it points to the left."""

    x1: int
    y1: int
    x2: int
    y2: int
    back: bool = False

    @property
    def head(self) -> str:
        """The points of its head."""
        way = 6 if self.back else -6
        return f"{self.x2},{self.y2} {self.x2 + way},{self.y2 - 4} {self.x2 + way},{self.y2 + 4}"


@dataclass(frozen=True)
class Graph:
    """What is drawn, in units of the picture."""

    width: int
    height: int
    nodes: list[Node]
    arrows: list[Arrow]
    node_width: int = WIDTH
    node_height: int = HEIGHT


def graph(locked: Locked, *, known: bool) -> Graph | None:
    """Lay a saga's steps out; None where there are too many. `known`: the code has its definition."""
    if not 0 < len(locked.steps) <= MOST_STEPS:
        return None
    stages: dict[int, list[SagaStep]] = defaultdict(list)
    for step in locked.steps.values():
        stages[step.stage].append(step)
    columns = [stages[number] for number in sorted(stages)]
    tallest = max(map(len, columns))
    undone = [[step for step in column if _has_undo(locked, step, known)] for column in columns]
    below = max(map(len, undone))
    forward = [list(_nodes(locked, column, at, 0, known)) for at, column in enumerate(columns)]
    back = [list(_undos(column, at, tallest)) for at, column in enumerate(undone)]
    nodes = [node for column in (*forward, *back) for node in column]
    arrows = [*_arrows(forward), *_arrows([column for column in reversed(back) if column], back=True)]
    rows = tallest + below
    return Graph(
        width=len(columns) * (WIDTH + GAP) - GAP + 2 * MARGIN,
        height=rows * ROW - (ROW - HEIGHT) + 2 * MARGIN + (GAP // 2 if below else 0),
        nodes=nodes,
        arrows=arrows,
    )


def _has_undo(locked: Locked, step: SagaStep, known: bool) -> bool:
    if step.undo_started_at is not None or step.direction is Direction.BACK:
        return True
    element = locked.outline.steps.get(step.name) if known else None
    return element is not None and element.is_undoable


def _nodes(locked: Locked, column: Sequence[SagaStep], at: int, first: int, known: bool) -> Iterator[Node]:
    for row, step in enumerate(column):
        element = locked.outline.steps.get(step.name) if known else None
        glyph, tone, state = *step_mark(StepStatus(step.status)), step.get_status_display()
        if step.direction is Direction.BACK:
            done = step.result is not None
            glyph, tone = ("✓", "good") if done else ("?", "bad")
            state = _("done, then undone") if done else _("may have happened, then undone")
        yield _node(step.name, state, at, row, glyph, tone, is_pivot=element is not None and element.pivot)


def _undos(column: Sequence[SagaStep], at: int, first: int) -> Iterator[Node]:
    for row, step in enumerate(column):
        is_back = step.direction is Direction.BACK
        glyph, tone = step_mark(StepStatus(step.status)) if is_back else ("○", "idle")
        state = step.get_status_display() if is_back else _("not needed so far")
        yield _node(
            _("undo %(step)s") % {"step": step.name}, state, at, first + row, glyph, tone, lower=GAP // 2
        )


def _node(
    label: str,
    state: str,
    at: int,
    row: int,
    glyph: str,
    tone: str,
    *,
    lower: int = 0,
    is_pivot: bool = False,
) -> Node:
    short = label if len(label) <= LETTERS else label[: LETTERS - 1] + "…"
    pivot = _(" (the point of no return)") if is_pivot else ""
    return Node(
        x=MARGIN + at * (WIDTH + GAP),
        y=MARGIN + row * ROW + lower,
        label=short,
        title=f"{label}: {state}{pivot}",
        glyph=glyph,
        tone=tone,
        is_pivot=is_pivot,
    )


def _arrows(columns: Sequence[Sequence[Node]], *, back: bool = False) -> Iterator[Arrow]:
    middle = HEIGHT // 2
    for here, there in pairwise(columns):
        for a in here:
            for b in there:
                if back:
                    yield Arrow(a.x, a.y + middle, b.x + WIDTH, b.y + middle, back=True)
                else:
                    yield Arrow(a.x + WIDTH, a.y + middle, b.x, b.y + middle)
