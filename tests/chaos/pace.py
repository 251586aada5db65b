"""When what is planned is begun, and by whom: so much at least, and on until there were enough faults."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, count
from threading import Event, Lock
from typing import Any, ClassVar, Generic, TypeVar


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Something planned."""

    number: int = 0
    at: float = 0.0
    """Seconds from the beginning of the load."""


P = TypeVar("P", bound=Timed)


def paced(
    chance: random.Random, cast: Sequence[P], draw: Callable[[], P], number: int, *, seconds: float
) -> Iterator[P]:
    """Plan so many over so many seconds, the cast and others by chance; and then more, without end."""
    first = [*cast, *(draw() for _ in range(number - len(cast)))]
    chance.shuffle(first)
    for nth, planned in enumerate(chain(first, (draw() for _ in count()))):
        yield replace(planned, number=nth, at=seconds * nth / number)


class Clients(ABC, Generic[P]):
    """Those who see to it, each in a thread: `coda` is what is begun when the faults are over."""

    clients: ClassVar[int]
    coda: ClassVar[Sequence[Any]]

    def __init__(self, plans: Iterable[P], *, least: int) -> None:
        self._plans = plans
        self._least = least
        self._enough = Event()
        self._lock = Lock()
        self._threads = ThreadPoolExecutor(self.clients)
        self._pace = ThreadPoolExecutor(2)
        self._paced: list[Future[None]] = []
        self._running: list[Future[None]] = []

    def begin(self) -> None:
        """Begin what is planned, at its time."""
        self._began = time.monotonic()
        self._paced.append(self._pace.submit(self._begin_all))

    def wait(self) -> None:
        """Begin no more than was to be begun at least, and wait for that. Raises what went wrong."""
        self._enough.set()
        for future in chain(self._paced, self._running):  # The latter are all there when the former are done.
            future.result()
        self._threads.shutdown()
        self._pace.shutdown()

    def _begin_all(self) -> None:
        for planned in self._plans:
            time.sleep(max(0.0, self._began + planned.at - time.monotonic()))
            if planned.number >= self._least and self._enough.is_set():
                break
            self._begin(planned)
        for number, last in enumerate(self.coda, start=planned.number):
            self._begin(replace(last, number=number))

    def _begin(self, planned: P) -> None:
        self._submit(self._see_through, planned)

    def _submit(self, act: Callable[[P], None], planned: P) -> None:
        self._running.append(self._threads.submit(act, planned))

    @abstractmethod
    def _see_through(self, planned: P) -> None: ...
