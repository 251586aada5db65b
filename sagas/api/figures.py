"""How many sagas stand where, and whether they move."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import DatabaseError
from django.db.models import Count, Min, Q
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from sagas.api.fields import utc
from sagas.api.permissions import MayView
from sagas.api.problems import ProblemViews
from sagas.clock import DatabaseTime, database_now
from sagas.engine.heartbeat import ALIVE_FOR
from sagas.engine.recovery import overdue
from sagas.models import Hold, Saga, Worker
from sagas.operations.catalogue import STUCK_AFTER
from sagas.states import LIVE, TERMINAL

MOST_COUNTED = 10_000
"""Sagas that have ended are counted up to here: nobody needs the exact number of a million."""
FRESH = 5
"""Seconds for which an answer may be used again."""
UNHEALTHY_AFTER = timedelta(seconds=60)
"""Due for longer than this, and taken by nobody: then something is wrong."""


class Stats(ProblemViews):
    """Counts by status, ages, and who is at work."""

    permission_classes = (IsAuthenticated, MayView)

    def get(self, request: Request) -> Response:
        """Count."""
        now = database_now(Saga.objects.db)
        live = Saga.objects.filter(status__in=LIVE).order_by().values("status")
        counts: dict[str, dict[str, Any]] = {status.value: _count(0, None) for status in (*LIVE, *TERMINAL)}
        for row in live.annotate(number=Count("pk"), oldest=Min("created_at")):
            counts[row["status"]] = _count(row["number"], (now - row["oldest"]).total_seconds())
        for status in TERMINAL:
            ended = Saga.objects.filter(status=status).order_by("-created_at").values("pk")
            number = ended[: MOST_COUNTED + 1].count()
            counts[status.value] = _count(min(number, MOST_COUNTED), None, more=number > MOST_COUNTED)
        late = overdue(STUCK_AFTER)
        workers = Worker.objects.filter(beat_at__gt=DatabaseTime() - ALIVE_FOR).count()
        body = {
            "at": utc(now),
            "sagas": counts,
            "attention": min(Saga.objects.exclude(attention="").count(), MOST_COUNTED),
            "stuck": late.count(),
            "oldest_stuck_seconds": _age(now, late.values_list("due_at", flat=True).first()),
            "workers": workers,
            "holds": Hold.objects.filter(Q(until=None) | Q(until__gt=DatabaseTime())).count(),
        }
        return Response(body, headers={"Cache-Control": f"max-age={FRESH}, private"})


class Health(ProblemViews):
    """For load balancers and monitors: nobody has to log in, and only staff are told more."""

    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        """Say whether sagas can be started and are moved."""
        found: dict[str, Any]
        try:
            waiting = overdue(UNHEALTHY_AFTER).count()
            found = {"database": "ok", "overdue": waiting}
        except DatabaseError:
            found = {"database": "unavailable", "overdue": None}
        well = found == {"database": "ok", "overdue": 0}
        body: dict[str, Any] = {"status": "ok" if well else "degraded"}
        if getattr(request.user, "is_staff", False):
            body["details"] = found
        headers = {"Cache-Control": "no-store"}
        return Response(body, status=200 if well else 503, headers=headers)


def _count(number: int, oldest: float | None, *, more: bool = False) -> dict[str, Any]:
    return {"count": number, "more": more, "oldest_seconds": None if oldest is None else round(oldest, 3)}


def _age(now: Any, then: Any) -> float | None:
    return None if then is None else round((now - then).total_seconds(), 3)
