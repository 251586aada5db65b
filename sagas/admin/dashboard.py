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
from django.utils.html import format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sagas.admin.paginator import capped
from sagas.admin.readonly import ReadOnlyAdmin, short
from sagas.admin.times import NOTHING, ago, span
from sagas.figures import Act, Dashboard, DefinitionFigures, FailureGroup, HalfHour, WorkerFigures, dashboard
from sagas.operations.actors import Actor
from sagas.operations.catalogue import OPERATIONS, STUCK_AFTER

WIDTH, HEIGHT, FOOT = 960, 160, 18
"""Units of the chart; the foot is for the hours."""
PIECE = '<rect class="saga-piece saga-piece-{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
"""A part of a column of the chart, drawn without a template since there are some 200 of them."""
KINDS = (("completed", "good"), ("compensated", "back"), ("abandoned", "quiet"), ("failed", "bad"))


@dataclass(frozen=True)
class Tile:
    """One number, and where the sagas behind it are listed."""

    label: str
    value: str
    url: str
    """Empty for whoever may not see them."""
    is_bad: bool = False


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
            title=_("Dashboard"),
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
        half_hours = found.half_hours or ()
        return {
            "figures": found,
            "looked_at": found.at,
            "tiles": list(self._tiles(found, request.user)) if found.tiles else None,
            "chart": format_html_join("\n", PIECE, _pieces(half_hours)),
            "hours": list(_hours(half_hours)),
            "most": max(map(_total, half_hours), default=0),
            "chart_size": (WIDTH, HEIGHT + FOOT),
            "groups": None
            if found.failure_groups is None
            else [self._group(g) for g in found.failure_groups],
            "may_retry": Actor.of(request.user).may(OPERATIONS["retry"].permission),
            "definitions": None if found.definitions is None else [_definition(d) for d in found.definitions],
            "workers": [self._worker(worker) for worker in found.workers],
            "acts": None if found.acts is None else [self._act(act) for act in found.acts],
            "list_url": self._list(""),
        }

    def _tiles(self, found: Dashboard, user: Any) -> Iterator[Tile]:
        tiles = found.tiles
        assert tiles is not None

        def listed(model: str, query: str = "") -> str:
            may = user.has_perm(f"sagas.view_{model}")
            return self.url_of(f"{model}_changelist") + query if may else ""

        late = NOTHING if tiles.late_since is None else span(found.at - tiles.late_since)
        yield Tile(
            _("Need attention"), capped(tiles.attention), self._list("tab=attention"), bool(tiles.attention)
        )
        yield Tile(_("Stuck"), capped(tiles.stuck), self._list("tab=stuck"), bool(tiles.stuck))
        yield Tile(
            _("Dead letters"),
            capped(tiles.dead_letters),
            listed("inboxmessage", "?tab=dead"),
            bool(tiles.dead_letters),
        )
        yield Tile(_("Oldest event due"), late, listed("inboxmessage", "?tab=due"), _is_late(found))
        yield Tile(
            _("Workers at work"),
            str(found.workers_alive),
            listed("worker"),
            bool(tiles.stuck and not found.workers_alive),
        )
        yield Tile(_("Running"), capped(tiles.running), self._list("tab=running"))
        yield Tile(_("Retrying"), capped(tiles.retrying), self._list("tab=retrying"))
        yield Tile(_("Compensating"), capped(tiles.compensating), self._list("tab=compensating"))
        yield Tile(_("Suspended"), capped(tiles.suspended), self._list("tab=suspended"))
        oldest = NOTHING if tiles.oldest_open is None else span(found.at - tiles.oldest_open)
        yield Tile(_("Oldest open"), oldest, self._list("tab=all"))

    def _group(self, group: FailureGroup) -> dict[str, Any]:
        wanted = {
            "definition": group.definition,
            "failed_step": group.step,
            "error_class": group.error_class,
        }
        return {
            "group": group,
            "url": self._list(urlencode(wanted)),
            "last": ago(group.last_at),
            "first": ago(group.first_at),
            "once": uuid4(),
        }

    def _worker(self, worker: WorkerFigures) -> dict[str, Any]:
        held = [
            (self.saga_url(saga.id), saga.definition, saga.key or short(saga.id)) for saga in worker.sagas
        ]
        return {"worker": worker, "beat": ago(worker.beat_at), "held": held}

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


def _is_late(found: Dashboard) -> bool:
    since = found.tiles.late_since if found.tiles else None
    return since is not None and found.at - since > STUCK_AFTER


def _total(half_hour: HalfHour) -> int:
    return sum(getattr(half_hour, kind) for kind, _tone in KINDS)


def _pieces(half_hours: Sequence[HalfHour]) -> Iterator[tuple[str, float, float, float, float, str]]:
    """Yield what `PIECE` shows of each piece of the chart: of the columns, each kind upon the other."""
    most = max(map(_total, half_hours), default=0) or 1
    step = WIDTH / max(len(half_hours), 1)
    for at, half_hour in enumerate(half_hours):
        top = float(HEIGHT)
        for kind, tone in KINDS:
            number = getattr(half_hour, kind)
            if not number:
                continue
            height = max(number / most * (HEIGHT - 4), 1.0)
            top -= height
            x, y, across, high = (round(length, 1) for length in (at * step + 1, top, step - 2, height))
            yield tone, x, y, across, high, _title(half_hour, kind, number)


def _title(half_hour: HalfHour, kind: str, number: int) -> str:
    start = timezone.localtime(half_hour.start).strftime("%H:%M")
    text = ngettext("from %(start)s: %(number)d %(kind)s", "from %(start)s: %(number)d %(kind)s", number)
    return text % {"start": start, "number": number, "kind": kind}


def _hours(half_hours: Sequence[HalfHour]) -> Iterator[tuple[float, str | SafeString]]:
    """Yield where an hour is named, and its name: every fourth of a day’s quarter."""
    step = WIDTH / max(len(half_hours), 1)
    for at in range(0, len(half_hours), 8):
        yield round(at * step, 1), timezone.localtime(half_hours[at].start).strftime("%H:%M")
