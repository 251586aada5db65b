"""The ASGI callable that servers import.

Requests are answered in a few threads that keep their database connections, in one hop from the event loop:
Django's own handler gives each request a thread of its own, with a connection of its own, and crosses over
for each middleware. Only those that wait for something go through Django's asynchronous middleware.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.base import BaseHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections, reset_queries
from django.http import HttpResponseBase

from sagaproject.readiness import make_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sagaproject.settings")

THREADS = 2
"""Requests answered at once by one process: one computes while the other waits for the database."""
HEALTHY_FOR = 1
"""Seconds for which a connection that has answered is not asked first whether it still would."""


class Handler(ASGIHandler):
    """Answers in threads what does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self._sync = BaseHandler()
        self._sync.load_middleware()
        self._threads = ThreadPoolExecutor(THREADS, "request")
        self._known = threading.local()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Only HTTP is served here, not {scope['type']}.")
        await self.handle(scope, receive, send)

    async def get_response_async(self, request: Any) -> HttpResponseBase:
        if _waits(request):
            await sync_to_async(_begin_anew)()
            return await super().get_response_async(request)
        answered = asyncio.get_running_loop().run_in_executor(self._threads, self._respond, request)
        try:
            return await asyncio.shield(answered)
        except asyncio.CancelledError:
            await asyncio.wait([answered])  # The client is gone, but what it asked for is half done.
            raise

    def _respond(self, request: ASGIRequest) -> HttpResponseBase:
        _begin_anew()
        if monotonic() < getattr(self._known, "until", 0):
            for connection in connections.all(initialized_only=True):
                connection.health_check_done = True  # type: ignore[attr-defined]
        try:
            return self._sync.get_response(request)
        finally:
            close_old_connections()
            self._known.until = monotonic() + HEALTHY_FOR


def _begin_anew() -> None:
    """Do for this thread's connections what Django does at the begin of a request."""
    reset_queries()
    close_old_connections()


def _leave_connections_alone() -> None:
    """Have Django's signals not see to connections: they are sent on a thread that has none.

    To get there takes each request another hop.
    """
    request_started.disconnect(reset_queries)
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)


def _waits(request: ASGIRequest) -> bool:
    return "wait" in request.headers.get("Prefer", "") or request.path.endswith("/stream/")


django.setup(set_prefix=False)
application = Handler()
_leave_connections_alone()
make_ready()
