"""The report: tables and a chart in the documentation, made of the results as they are written down."""

from __future__ import annotations

from collections.abc import Iterator
from string import Template

from benchmarks.chart import Row, draw
from benchmarks.processes import ROOT
from benchmarks.results import BARS, Bar, Document

PAGE = ROOT / "docs" / "benchmarks.md"
CHART = PAGE.with_suffix(".svg")

BEGIN, END = "<!-- figures: written by `make bench` -->\n", "<!-- end of the figures -->\n"

NAMES = {
    "async": "sagas, async steps",
    "sync": "sagas, sync steps",
    "atomic": "sagas, atomic steps that write a row",
    "limit": "bare PostgreSQL (pgbench)",
    "limit_one_statement": "bare PostgreSQL, one statement each",
    "dbos": "DBOS",
    "celery": "Celery, Redis synced each time",
    "celery_everysec": "Celery, Redis synced each second",
    "procrastinate": "procrastinate",
    "naive_q2": "plain django-q2 tasks",
}
OURS = ("async", "sync", "atomic")
LIMITS = ("limit", "limit_one_statement")

FIGURES = Template("""\
Measured on $date: medians of $rounds; $sagas sagas of three steps each time for us and the
bare database, a fifth of them for everyone else.
$machine.

![Sagas per second]($chart)

| | sagas per second |
|---|---:|
$rates

| bar | wanted | measured | |
|---|---:|---:|---|
$bars
""")


def publish(document: Document) -> None:
    """Write the figures into the page, and draw the chart beside it."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{PAGE.name} has no place for the figures: the lines {BEGIN!r} and {END!r}.")
    PAGE.write_text(f"{before}{BEGIN}\n{figures(document)}\n{END}{after}")
    CHART.write_text(chart(document))


def figures(document: Document) -> str:
    """Return the figures as Markdown."""
    rounds = max((len(each) for each in document["rounds"].values()), default=0)
    return FIGURES.substitute(
        date=document["date"],
        rounds="one round" if rounds == 1 else f"{rounds} rounds",
        sagas=_number(document["sagas"]),
        machine=_machine(document["machine"]),
        chart=CHART.name,
        rates="\n".join(_rates(document)),
        bars="\n".join(_held_against(bar, document) for bar in BARS),
    )


def chart(document: Document) -> str:
    """Return the chart as SVG."""
    rows = [
        Row(NAMES[name], rate, "ours" if name in OURS else "limit" if name in LIMITS else "peer")
        for name, rate in _measured(document).items()
        if rate is not None
    ]
    return draw(
        rows,
        title="Sagas of three steps per second",
        note=f"{document['date']}, {_machine(document['machine'])}",
    )


def _measured(document: Document) -> dict[str, float | None]:
    found = document["ours"] | document["peers"] | document["aside"]
    return {name: document[name] if name in document else found[name] for name in NAMES}


def _rates(document: Document) -> Iterator[str]:
    """Yield a line for each that was to be measured."""
    for name, rate in _measured(document).items():
        if rate is not None:
            yield f"| {NAMES[name]} | {_number(rate)} |"
        elif name in document["not_run"]:
            yield f"| {NAMES[name]} | not run: {document['not_run'][name]} |"


def _held_against(bar: Bar, document: Document) -> str:
    wanted = f"≥ {bar.at_least:g}{bar.unit}" if bar.at_least is not None else f"≤ {bar.at_most:g}{bar.unit}"
    figure = bar.figure(document)
    if figure is None:
        return f"| {bar.title} | {wanted} | not run | |"
    told = f"{figure:.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"
    return f"| {bar.title} | {wanted} | {told}{bar.unit} | {'met' if bar.is_met(figure) else 'missed'} |"


def _machine(machine: dict[str, object]) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}, Django {machine['django']}, PostgreSQL {machine['postgresql']}"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\N{NO-BREAK SPACE}")
