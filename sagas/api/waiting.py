"""Answers that wait for a saga to change. Whoever waits holds no worker, no connection and no transaction.

All who wait in a process are served by one look at the database at a time, on a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop, Future, Task
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.http import HttpResponse, HttpResponseBase

from sagas.conf import saga_settings
from sagas.models import Saga

log = logging.getLogger("sagas.api")
T = TypeVar("T")

WAITED = "saga_was_awaited"
"""Set on a request whose time for waiting is over."""
CHUNK = 1000

_thread = ThreadPoolExecutor(1, "saga-watch")


class Later(HttpResponse):
    """The answer to a request, made when the saga has changed or the time is up.

    Under ASGI Django awaits `render` on the event loop, and takes what it returns for the response.
    """

    def __init__(self, request: ASGIRequest, saga: Saga, seconds: float) -> None:
        super().__init__()
        self._request = request
        self._saga = saga
        self._seconds = seconds

    async def render(self) -> HttpResponseBase:
        """Wait, and then have the view answer."""
        await sync_to_async(close_old_connections)()
        await watch().change(self._saga.pk, self._saga.revision, self._seconds)
        return await sync_to_async(self._answer)()

    def _answer(self) -> HttpResponseBase:
        setattr(self._request, WAITED, True)
        view = self._request.resolver_match
        assert view is not None
        response: Any = view.func(self._request, *view.args, **view.kwargs)
        rendered: HttpResponseBase = response.render() if hasattr(response, "render") else response
        return rendered


class Watch:
    """Looks for changed revisions, for all who wait in one event loop, while there are any."""

    def __init__(self) -> None:
        self._waiting: defaultdict[UUID, dict[Future[None], int]] = defaultdict(dict)
        self._looking: Task[None] | None = None

    async def change(self, saga_id: UUID, revision: int, seconds: float) -> bool:
        """Wait until the saga has another revision, or is gone; False: the time was up first."""
        if seconds <= 0:
            return False
        changed = asyncio.get_running_loop().create_future()
        self._waiting[saga_id][changed] = revision
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait_for(changed, seconds)
        except TimeoutError:
            return False
        finally:
            self._waiting[saga_id].pop(changed, None)
            if not self._waiting[saga_id]:
                del self._waiting[saga_id]
        return True

    async def _look(self) -> None:
        try:
            while ids := list(self._waiting):
                try:
                    self._tell(dict(await read(partial(_revisions, ids))), ids)
                except Exception:
                    log.warning("Sagas could not be looked at; those who wait for them go on.", exc_info=True)
                await asyncio.sleep(saga_settings().poll.total_seconds())
        finally:
            self._looking = None

    def _tell(self, found: dict[UUID, int], ids: Iterable[UUID]) -> None:
        for saga_id in ids:
            for changed, revision in self._waiting.get(saga_id, {}).items():
                if found.get(saga_id) != revision and not changed.done():
                    changed.set_result(None)


_watches: WeakKeyDictionary[AbstractEventLoop, Watch] = WeakKeyDictionary()


def watch() -> Watch:
    """Return the watch of the running event loop."""
    return _watches.setdefault(asyncio.get_running_loop(), Watch())


async def read(query: Callable[[], T]) -> T:
    """Have a query made on the thread that looks."""
    return await asyncio.get_running_loop().run_in_executor(_thread, _fresh, query)


def _revisions(ids: list[UUID]) -> list[tuple[UUID, int]]:
    found: list[tuple[UUID, int]] = []
    for start in range(0, len(ids), CHUNK):
        wanted = Saga.objects.filter(pk__in=ids[start : start + CHUNK])
        found += wanted.order_by().values_list("pk", "revision")
    return found


def _fresh(query: Callable[[], T]) -> T:
    """Make a query on a thread that belongs to no request, which would look after its connection."""
    close_old_connections()
    try:
        return query()
    finally:
        close_old_connections()
