"""The dashboard: how the sagas fare, and what goes wrong, on one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sagas.admin.paginator import capped
from sagas.admin.readonly import ReadOnlyAdmin, short
from sagas.admin.times import NOTHING, ago, span
from sagas.figures import Act, Dashboard, DefinitionFigures, FailureGroup, HalfHour, dashboard
from sagas.operations.actors import Actor
from sagas.operations.catalogue import OPERATIONS

WIDTH, HEIGHT, FOOT = 960, 160, 18
"""Units of the chart; the foot is for the hours."""
KINDS = (("completed", "good"), ("compensated", "back"), ("abandoned", "quiet"), ("failed", "bad"))


@dataclass(frozen=True)
class Tile:
    """One number, and where the sagas behind it are listed."""

    label: str
    value: str
    url: str
    tone: str = ""


@dataclass(frozen=True)
class Piece:
    """A part of a column of the chart."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    title: str


class DashboardAdmin(ReadOnlyAdmin):
    """Shows the dashboard."""

    dashboard_template = "admin/sagas/dashboard.html"
    figures_template = "admin/sagas/figures.html"

    def dashboard_urls(self) -> list[URLPattern]:
        """Return the addresses of the page, and of the part of it that changes."""
        guarded = self.admin_site.admin_view
        return [
            path("dashboard/", guarded(self.dashboard_view), name="sagas_saga_dashboard"),
            path("dashboard/live/", guarded(self.figures_view), name="sagas_saga_figures"),
        ]

    def dashboard_view(self, request: HttpRequest) -> HttpResponse:
        """Show the dashboard."""
        return self.page(
            request,
            self.dashboard_template,
            title=_("How the sagas fare"),
            live_url=self.url_of("saga_figures"),
            **self._figures(request),
        )

    def figures_view(self, request: HttpRequest) -> HttpResponse:
        """Show the part that changes: for the page's script."""
        return TemplateResponse(request, self.figures_template, {"opts": self.opts, **self._figures(request)})

    def _figures(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = dashboard()
        chart = list(_chart(found.half_hours)) if found.half_hours else []
        return {
            "figures": found,
            "looked_at": found.at,
            "tiles": list(self._tiles(found)) if found.tiles else None,
            "chart": chart,
            "hours": list(_hours(found.half_hours or ())),
            "most": max((_total(each) for each in found.half_hours or ()), default=0),
            "chart_size": (WIDTH, HEIGHT + FOOT),
            "groups": None
            if found.failure_groups is None
            else [self._group(g) for g in found.failure_groups],
            "may_retry": Actor.of(request.user).may(OPERATIONS["retry"].permission),
            "definitions": None if found.definitions is None else [_definition(d) for d in found.definitions],
            "workers": None if found.workers is None else [(w, ago(w.beat_at)) for w in found.workers],
            "acts": None if found.acts is None else [self._act(act) for act in found.acts],
            "list_url": self._list(""),
        }

    def _tiles(self, found: Dashboard) -> Iterator[Tile]:
        tiles = found.tiles
        assert tiles is not None
        yield Tile(
            _("Need attention"), capped(tiles.attention), self._list("tab=attention"), _bad(tiles.attention)
        )
        yield Tile(_("Stuck"), capped(tiles.stuck), self._list("tab=stuck"), _bad(tiles.stuck))
        yield Tile(_("Running"), capped(tiles.running), self._list("tab=running"))
        yield Tile(_("Retrying"), capped(tiles.retrying), self._list("tab=retrying"))
        yield Tile(_("Compensating"), capped(tiles.compensating), self._list("tab=compensating"))
        yield Tile(_("Suspended"), capped(tiles.suspended), self._list("tab=suspended"))
        oldest = NOTHING if tiles.oldest_open is None else span(found.at - tiles.oldest_open)
        yield Tile(_("Oldest open"), oldest, self._list("tab=all"))
        if found.workers is not None:
            alive = sum(worker.is_alive for worker in found.workers)
            url = self.url_of("worker_changelist")
            yield Tile(_("Workers at work"), str(alive), url)

    def _group(self, group: FailureGroup) -> dict[str, Any]:
        query = f"status=failed&definition={group.definition}&error_class={group.error_class}"
        return {"group": group, "url": self._list(query), "last": ago(group.last_at), "once": uuid4()}

    def _act(self, act: Act) -> dict[str, Any]:
        return {
            "act": act,
            "at": ago(act.at),
            "url": self.saga_url(act.saga_id),
            "saga": act.key or short(act.saga_id),
            "label": OPERATIONS[act.operation].label if act.operation in OPERATIONS else act.operation,
        }

    def _list(self, query: str) -> str:
        url = self.url_of("saga_changelist")
        return f"{url}?{query}" if query else url


def _definition(found: DefinitionFigures) -> dict[str, Any]:
    took = found.duration
    return {
        "figures": found,
        "open": capped(found.open),
        "rate": f"{100 * found.failed / found.passed:.1f} %" if found.passed else NOTHING,
        "p50": span(took.p50) if took else NOTHING,
        "p95": span(took.p95) if took else NOTHING,
    }


def _bad(number: int) -> str:
    return "bad" if number else ""


def _total(half_hour: HalfHour) -> int:
    return sum(getattr(half_hour, kind) for kind, _tone in KINDS)


def _chart(half_hours: Sequence[HalfHour]) -> Iterator[Piece]:
    """Yield the columns of the chart, piece by piece, each kind upon the other."""
    most = max(map(_total, half_hours)) or 1
    step = WIDTH / len(half_hours)
    for at, half_hour in enumerate(half_hours):
        top = float(HEIGHT)
        for kind, tone in KINDS:
            number = getattr(half_hour, kind)
            if not number:
                continue
            height = max(number / most * (HEIGHT - 4), 1.0)
            top -= height
            yield Piece(
                round(at * step + 1, 1),
                round(top, 1),
                round(step - 2, 1),
                round(height, 1),
                tone,
                _title(half_hour, kind, number),
            )


def _title(half_hour: HalfHour, kind: str, number: int) -> str:
    start = timezone.localtime(half_hour.start).strftime("%H:%M")
    text = ngettext("from %(start)s: %(number)d %(kind)s", "from %(start)s: %(number)d %(kind)s", number)
    return text % {"start": start, "number": number, "kind": kind}


def _hours(half_hours: Sequence[HalfHour]) -> Iterator[tuple[float, str | SafeString]]:
    """Yield where an hour is named, and its name: every fourth of a day’s quarter."""
    step = WIDTH / max(len(half_hours), 1)
    for at in range(0, len(half_hours), 8):
        yield round(at * step, 1), timezone.localtime(half_hours[at].start).strftime("%H:%M")
