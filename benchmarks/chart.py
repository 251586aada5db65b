"""The chart of sagas per second: bars, in an SVG that is light or dark as its reader's screen is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template
from xml.sax.saxutils import escape

WIDTH = 760
LABELS = 290
"""How much of the width is the labels'."""
FIGURES = 70
ROW = 30
BAR = 18
TOP = 48
BOTTOM = 34

DRAWING = Template("""\
<svg xmlns="http://www.w3.org/2000/svg" role="img" width="$width" height="$height"
     viewBox="0 0 $width $height">
  <title>$title</title>
  <style>
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .title { font-weight: 600; font-size: 15px; }
    .note { font-size: 11px; fill: #59636e; }
    .ground { fill: #ffffff; }
    .ours { fill: #1a7f5a; }
    .peer { fill: #8c959f; }
    .limit { fill: none; stroke: #59636e; stroke-dasharray: 4 3; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .note { fill: #9198a1; }
      .ground { fill: #0d1117; }
      .ours { fill: #3fb68b; }
      .peer { fill: #6e7681; }
      .limit { stroke: #9198a1; }
    }
  </style>
  <rect class="ground" width="$width" height="$height" rx="6"/>
  <text class="title" x="16" y="28">$title</text>
$rows
  <text class="note" x="16" y="$note_at">$note</text>
</svg>
""")

LINE = Template("""\
  <text x="$label_at" y="$text_at" text-anchor="end">$label</text>
  <rect class="$kind" x="$left" y="$top" width="$length" height="$thickness" rx="2"/>
  <text x="$figure_at" y="$text_at">$figure</text>""")


@dataclass(frozen=True)
class Row:
    """One bar: whose, and how long."""

    label: str
    figure: float
    kind: str
    """`ours`, `peer` or `limit`."""


def draw(rows: Sequence[Row], *, title: str, note: str) -> str:
    """Return the drawing."""
    longest = max((row.figure for row in rows), default=1.0)
    height = TOP + ROW * len(rows) + BOTTOM
    return DRAWING.substitute(
        width=WIDTH,
        height=height,
        title=escape(title),
        rows="\n".join(_line(row, number, longest) for number, row in enumerate(rows)),
        note=escape(note),
        note_at=height - 14,
    )


def _line(row: Row, number: int, longest: float) -> str:
    top = TOP + ROW * number
    length = max(2.0, (WIDTH - LABELS - FIGURES) * row.figure / longest)
    return LINE.substitute(
        label=escape(row.label),
        label_at=LABELS - 10,
        text_at=top + BAR - 4,
        kind=row.kind,
        left=LABELS,
        top=top,
        length=f"{length:.1f}",
        thickness=BAR,
        figure_at=f"{LABELS + length + 8:.1f}",
        figure=f"{row.figure:,.0f}".replace(",", "\N{NO-BREAK SPACE}"),
    )
