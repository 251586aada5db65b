"""The thread that does a runner's books: claims and settlements, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Books:
    """One thread beside an event loop. An executor has more to do for each call than some of the calls."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="saga-books", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have the thread do it after all that it was given before; await on the loop what it comes to.

        Work that nobody waits for any more is not begun.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((work, future))
        return future

    def close(self) -> None:
        """Return when all is done that was begun."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, future = job
            if future.cancelled():
                continue
            try:
                result = work()
            except BaseException as error:
                self._loop.call_soon_threadsafe(_tell, future.set_exception, future, error)
            else:
                self._loop.call_soon_threadsafe(_tell, future.set_result, future, result)
                del result
            del job, work, future  # Else they live until there is something to do again.


def _tell(way: Callable[[Any], None], future: asyncio.Future[Any], told: Any) -> None:
    if not future.done():
        way(told)
