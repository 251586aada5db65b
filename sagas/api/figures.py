"""How many sagas stand where, and whether they move."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError
from django.db.models import Q
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from sagas.api.permissions import MayView
from sagas.api.problems import ProblemViews
from sagas.clock import database_now, utc
from sagas.engine.heartbeat import ALIVE_FOR
from sagas.engine.recovery import overdue
from sagas.figures import census
from sagas.models import Hold, Saga, Worker
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
        found = census(now)
        counts = {
            status.value: _count(found.number(status), _age(now, found.oldest(status))) for status in LIVE
        }
        for status in TERMINAL:
            ended = Saga.objects.filter(status=status).order_by("-created_at").values("pk")
            number = ended[: MOST_COUNTED + 1].count()
            counts[status.value] = _count(min(number, MOST_COUNTED), None, more=number > MOST_COUNTED)
        body = {
            "at": utc(now),
            "sagas": counts,
            "attention": min(found.attention, MOST_COUNTED),
            "stuck": found.stuck,
            "oldest_stuck_seconds": _age(now, found.stuck_since),
            "dead_letters": min(found.dead_letters, MOST_COUNTED),
            "oldest_late_event_seconds": _age(now, found.late_since),
            "workers": Worker.objects.filter(beat_at__gt=now - ALIVE_FOR).count(),
            "holds": Hold.objects.filter(Q(until=None) | Q(until__gt=now)).count(),
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
    return {"count": number, "more": more, "oldest_seconds": oldest}


def _age(now: datetime, then: datetime | None) -> float | None:
    return None if then is None else round((now - then).total_seconds(), 3)
