"""What happens to a saga, as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from time import monotonic
from typing import Any
from uuid import UUID

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from sagas.api.lookup import saga_of
from sagas.api.permissions import MayViewSaga
from sagas.api.problems import ProblemViews
from sagas.api.serializers import HistorySerializer
from sagas.api.waiting import read, watch
from sagas.models import Saga
from sagas.operations.privacy import Shown, shown_to
from sagas.states import TERMINAL

LONGEST = 300
"""Seconds after which a stream ends; the client comes again, and goes on where it was."""
PING = 15
"""Seconds of silence after which a comment says that the connection lives."""
AT_ONCE = 500
STATE = ("status", "direction", "attention", "steps_done", "steps_total", "current_step", "revision")


class StreamUnavailable(APIException):
    """Under WSGI a stream would hold a worker for as long as somebody listens."""

    status_code = 406
    default_code = "stream_unavailable"
    default_detail = _("This server cannot stream. Poll the saga with If-None-Match instead.")


class SagaStream(ProblemViews):
    """Follow a saga: ``history`` events carry a seq as their id, ``saga`` events say where it stands."""

    permission_classes = (IsAuthenticated, MayViewSaga)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        return JSONRenderer(), "application/json"  # For problems: the stream itself is always one of events.

    def get(self, request: Request, pk: str) -> HttpResponseBase:
        """Stream what happens to a saga, until it has ended or five minutes are over."""
        saga = saga_of(pk)
        self.check_object_permissions(request, saga)
        if not isinstance(request._request, ASGIRequest):
            raise StreamUnavailable
        last = request.headers.get("Last-Event-ID", "")
        return StreamingHttpResponse(
            _events(
                saga.pk,
                int(last) if last.isdecimal() and len(last) < 19 else 0,
                shown_to(request.user, saga),
            ),
            content_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )


async def _events(saga_id: UUID, after: int, shown: Shown) -> AsyncIterator[bytes]:
    ends_at = monotonic() + LONGEST
    revision = -1
    yield b"retry: 1000\n\n"
    while True:
        saga, entries = await read(partial(_read, saga_id, after, shown))
        for entry in entries:
            after = entry["seq"]
            yield _event("history", entry, id=after)
        if saga is None:
            return
        if len(entries) == AT_ONCE:
            continue
        if saga["revision"] != revision:
            revision = saga["revision"]
            yield _event("saga", saga)
        if saga["status"] in TERMINAL or monotonic() >= ends_at:
            return
        if not await watch().change(saga_id, revision, min(PING, ends_at - monotonic())):
            yield b": still here\n\n"


def _read(saga_id: UUID, after: int, shown: Shown) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    saga = Saga.objects.filter(pk=saga_id).values(*STATE).first()
    if saga is None:
        return None, []
    history = Saga(pk=saga_id).history.filter(pk__gt=after).order_by("pk")[:AT_ONCE]
    return saga, list(HistorySerializer(history, many=True, context={"shown": shown}).data)


def _event(kind: str, data: dict[str, Any], *, id: int | None = None) -> bytes:
    head = f"id: {id}\n" if id is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
