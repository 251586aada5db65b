"""Who tells whom, as a picture: a box for each topic with who reacts to it, and arrows to what they tell.

Drawn here, without a script. What comes first stands on the left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, TypeAlias

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from sagas.admin.times import NOTHING, span
from sagas.figures.traffic import CODE, UNDO, Heard, Traffic
from sagas.messaging import SUBSCRIBER

MOST_TOPICS = 60
"""Of more topics the table says more than a picture."""
WIDTH, HEAD, ROW, FOOT = 214, 26, 20, 6
GAP, BETWEEN, MARGIN = 40, 16, 8
LETTERS, ROW_LETTERS = 26, 20
"""That a box has room for."""

NAMES: Mapping[str, str | Promise] = {
    CODE: gettext_lazy("other code"),
    UNDO: gettext_lazy("who asked for the undo"),
    SUBSCRIBER: gettext_lazy("sagas that waited"),
}

Edge: TypeAlias = tuple[str, str, str]
"""From a box, and of it from this row (empty: from its head), to another box."""


@dataclass
class Row:
    """Who reacts to a topic, in its box."""

    name: str
    title: str
    took: str
    tone: str
    y: int = 0


@dataclass
class Box:
    """A topic, or somebody who reacts to nothing and yet publishes."""

    name: str
    label: str
    number: str
    is_source: bool
    rows: list[Row] = field(default_factory=list)
    x: int = 0
    y: int = 0

    @property
    def height(self) -> int:
        return HEAD + (len(self.rows) * ROW + FOOT if self.rows else 0)

    @property
    def text_x(self) -> int:
        return self.x + 10

    @property
    def text_y(self) -> int:
        return self.y + 17

    @property
    def end_x(self) -> int:
        return self.x + WIDTH - 10

    @property
    def rule_y(self) -> int:
        return self.y + HEAD

    def port(self, row: str) -> int:
        """Return the height at which an arrow leaves it."""
        found = (each.y - 4 for each in self.rows if each.title == row)
        return next(found, self.y + HEAD // 2)


@dataclass(frozen=True)
class Curve:
    """An arrow, as the attributes of its path and of its head."""

    path: str
    head: str


def publisher_name(headers: Mapping[str, Any]) -> str:
    """Return who published an event, for people."""
    if name := headers.get("publisher"):
        return str(name)
    return str(NAMES[UNDO] if headers.get("undoes") else NAMES[CODE])


def drawn(seen: Traffic) -> dict[str, Any]:
    """Return what the page shows: the picture, unless there is too much of it, and the rows of the table."""
    rows = list(_table(seen))
    topics = seen.topics
    if not 0 < len(topics) <= MOST_TOPICS:
        return {"rows": rows, "since": seen.since, "boxes": None}
    boxes = {box.name: box for box in _boxes(seen)}
    edges = _edges(seen, boxes)
    _place(boxes, edges)
    return {
        "rows": rows,
        "since": seen.since,
        "boxes": list(boxes.values()),
        "curves": [_curve(boxes, edge) for edge in edges],
        "box_width": WIDTH,
        "width": max(box.x for box in boxes.values()) + WIDTH + MARGIN,
        "height": max(box.y + box.height for box in boxes.values()) + MARGIN,
    }


def _table(seen: Traffic) -> Iterator[dict[str, Any]]:
    """Yield each topic with who publishes it and who reacts."""
    told = defaultdict(list)
    for each in seen.told:
        told[each.topic].append((_name(each.publisher), each.number))
    heard = defaultdict(list)
    for one in seen.heard:
        heard[one.topic].append({"heard": one, "name": _name(one.subscriber), **_times(one)})
    for topic in seen.topics:
        yield {"topic": topic, "told": told[topic], "heard": heard[topic]}


def _times(heard: Heard) -> dict[str, str]:
    return {
        "p50": NOTHING if heard.p50 is None else span(heard.p50),
        "p95": NOTHING if heard.p95 is None else span(heard.p95),
    }


def _boxes(seen: Traffic) -> Iterator[Box]:
    numbers: defaultdict[str, int] = defaultdict(int)
    for told in seen.told:
        numbers[told.topic] += told.number
    subscribers = {each.subscriber for each in seen.heard}
    for publisher in sorted({each.publisher for each in seen.told} - subscribers):
        yield Box(f"by:{publisher}", _shortened(_name(publisher), LETTERS), "", is_source=True)
    for topic in seen.topics:
        rows = [_row(each) for each in seen.heard if each.topic == topic]
        yield Box(topic, _shortened(topic, LETTERS - 5), str(numbers[topic] or ""), False, rows)


def _row(heard: Heard) -> Row:
    took = _times(heard)["p50"]
    if heard.dead:
        took = f"✕ {heard.dead}"
    elif heard.due and heard.p50 is None:
        took = f"► {heard.due}"
    name = _name(heard.subscriber)
    tone = "bad" if heard.dead else "good"
    return Row(_shortened(name, ROW_LETTERS), name, took, tone)


def _edges(seen: Traffic, boxes: Mapping[str, Box]) -> list[Edge]:
    """Return the arrows: from who reacts to a topic, or from a source, to what they publish."""
    topic_of = {each.subscriber: each.topic for each in seen.heard}
    edges = []
    for told in seen.told:
        source = topic_of.get(told.publisher)
        if source is None:
            edges.append((f"by:{told.publisher}", "", told.topic))
        else:
            edges.append((source, _name(told.publisher), told.topic))
    return [edge for edge in edges if edge[0] in boxes and edge[2] in boxes]


def _place(boxes: Mapping[str, Box], edges: list[Edge]) -> None:
    """Give each box its column, by how many come before it, and its height near those."""
    columns: defaultdict[int, list[Box]] = defaultdict(list)
    for name, depth in _depths(boxes, edges).items():
        columns[depth].append(boxes[name])
    for depth in sorted(columns):
        wanted = {box.name: _wanted(box, boxes, edges, depth) for box in columns[depth]}
        free = MARGIN
        for box in sorted(columns[depth], key=lambda box: (wanted[box.name], box.name)):
            box.x = MARGIN + depth * (WIDTH + GAP)
            box.y = max(free, round(wanted[box.name]))
            for number, row in enumerate(box.rows):
                row.y = box.y + HEAD + 16 + number * ROW
            free = box.y + box.height + BETWEEN


def _wanted(box: Box, boxes: Mapping[str, Box], edges: list[Edge], depth: int) -> float:
    heights = [
        boxes[source].port(row)
        for source, row, target in edges
        if target == box.name and boxes[source].y and source != target
    ]
    return fmean(heights) - HEAD / 2 if heights and depth else 0


def _depths(names: Iterable[str], edges: Iterable[Edge]) -> dict[str, int]:
    """Return of each box how many stand before it at most. What closes a circle counts for nothing."""
    after: defaultdict[str, set[str]] = defaultdict(set)
    for source, _row, target in edges:
        after[source].add(target)
    depths = dict.fromkeys(names, 0)
    order: list[str] = []
    known: set[str] = set()
    circles: set[tuple[str, str]] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        known.add(name)
        for target in sorted(after[name]):
            if target == name or target in path:
                circles.add((name, target))
            elif target not in known:
                visit(target, (*path, name))
        order.append(name)

    for name in depths:
        if name not in known:
            visit(name, ())
    for name in reversed(order):
        for target in after[name]:
            if (name, target) not in circles:
                depths[target] = max(depths[target], depths[name] + 1)
    return depths


def _curve(boxes: Mapping[str, Box], edge: Edge) -> Curve:
    source, row, target = edge
    x1, y1 = boxes[source].x + WIDTH, boxes[source].port(row)
    x2, y2 = boxes[target].x, boxes[target].y + HEAD // 2
    bend = GAP // 2 if x2 > x1 else GAP
    return Curve(
        path=f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2 - 6} {y2}",
        head=f"{x2},{y2} {x2 - 6},{y2 - 4} {x2 - 6},{y2 + 4}",
    )


def _name(name: str) -> str:
    return str(NAMES.get(name, name))


def _shortened(name: str, letters: int) -> str:
    """Return the end of a long name: paths of functions begin alike."""
    return name if len(name) <= letters else "…" + name[1 - letters :]
