"""A call is made only under a lease that lasts, and reported once, or once more as a straggler."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest

from sagas.engine.attempts import Attempt, Held, Settled
from sagas.engine.calls import GRACE, Calls
from sagas.engine.slots import Slots
from sagas.engine.tempo import Company
from sagas.engine.threads import Threads
from sagas.states import Direction, Outcome
from tests.samples import SECOND, step

LIMIT = SECOND / 10
Together = Callable[[Sequence[Attempt], bool], tuple[Callable[[], None], float]]


class Desk:
    """Makes calls for a test and keeps what was reported."""

    def __init__(self, *, threads: int = 2, backlog: int = 0, perform: Together | None = None) -> None:
        self.slots = Slots(threads=threads + backlog, tasks=2)
        self.threads = Threads(threads)
        self.reports: list[Settled] = []
        self.calls = Calls(self.slots, self.threads, self._take_note, perform or self._alone)

    def _take_note(self, settled: Settled) -> None:
        self.reports.append(settled)
        if settled.ended:  # Whoever settles it has its slot.
            self.slots.give_back({settled.attempt.runs_on_loop: 1})

    @staticmethod
    def _alone(group: Sequence[Attempt], trusting: bool) -> tuple[Callable[[], None], float]:
        raise AssertionError("no attempt here is atomic")

    def attempt(self, definition: Any, *, lease: float = 30.0) -> Attempt:
        element = next(iter(definition.outline().steps.values()))
        held = Held(uuid4(), definition.name, None, 1, {}, {}, monotonic() + lease)
        assert self.slots.reserve(element, Direction.FORWARD)
        return Attempt(held, element, Direction.FORWARD, 1, str(uuid4()))

    async def until(self, condition: Callable[[], bool]) -> None:
        ends = monotonic() + 5
        while not condition():
            assert monotonic() < ends
            await asyncio.sleep(0.01)


def wait_for(event: threading.Event) -> None:
    event.wait(5)


def at_a_desk(scene: Callable[[Desk], Awaitable[None]], **options: Any) -> None:
    async def play() -> None:
        desk = Desk(**options)
        try:
            await scene(desk)
        finally:
            desk.threads.close()

    asyncio.run(play())


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_call_is_reported_and_gives_its_slot_back(define, play, asynchronous):
    definition = define(step("a", asynchronous=asynchronous))
    play.always("a", {"n": 1})

    async def scene(desk: Desk) -> None:
        attempt = desk.attempt(definition)
        desk.calls.send(attempt)
        assert desk.calls.in_flight == 1
        await desk.until(lambda: bool(desk.reports))
        [settled] = desk.reports
        assert (settled.attempt, settled.outcome, settled.result) == (attempt, Outcome.DONE, {"n": 1})
        assert (desk.slots.free, desk.calls.in_flight) == (4, 0)
        assert attempt.held.renewable_until > monotonic() + GRACE.total_seconds()

    at_a_desk(scene)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_under_a_lease_that_is_over_nothing_is_sent(define, play, asynchronous):
    definition = define(step("a", asynchronous=asynchronous))

    async def scene(desk: Desk) -> None:
        desk.calls.send(desk.attempt(definition, lease=-0.001))
        [settled] = desk.reports
        assert settled.outcome is Outcome.UNSENT
        assert (desk.slots.free, desk.calls.in_flight) == (4, 0)

    at_a_desk(scene)
    assert play.calls == []


def test_nor_from_a_thread_that_got_to_it_too_late(define, play):
    definition = define(step("a", timeout=5 * SECOND))
    released = threading.Event()

    async def scene(desk: Desk) -> None:
        desk.threads.submit(partial(wait_for, released))
        desk.calls.send(desk.attempt(definition, lease=0.05))
        await asyncio.sleep(0.1)
        released.set()
        await desk.until(lambda: bool(desk.reports))
        assert [settled.outcome for settled in desk.reports] == [Outcome.UNSENT]

    at_a_desk(scene, threads=1)
    assert play.calls == []


@pytest.mark.parametrize(("comes_back_with", "reports"), [({"n": 1}, 2), (RuntimeError("late"), 1)])
def test_a_straggler_is_reported_once_more_if_it_did_something(define, play, comes_back_with, reports):
    released = threading.Event()

    def straggle(ctx: Any) -> Any:
        released.wait(5)
        if isinstance(comes_back_with, Exception):
            raise comes_back_with
        return comes_back_with

    play.always("a", straggle)
    definition = define(step("a", timeout=LIMIT))

    async def scene(desk: Desk) -> None:
        desk.calls.send(desk.attempt(definition))
        await desk.until(lambda: bool(desk.reports))
        [gave_up] = desk.reports
        assert (gave_up.outcome, gave_up.ended) == (Outcome.UNKNOWN, False)
        assert (desk.calls.overdue, desk.slots.free, desk.calls.in_flight) == (1, 3, 0)
        released.set()
        await desk.until(lambda: desk.calls.overdue == 0)
        assert len(desk.reports) == reports
        assert desk.slots.free == 4

    at_a_desk(scene)


def test_an_async_call_that_was_given_up_is_cancelled_and_gives_its_slot_back(define, play):
    async def hang() -> None:
        await asyncio.sleep(30)

    play.always("a", lambda ctx: hang())
    definition = define(step("a", asynchronous=True, timeout=LIMIT))

    async def scene(desk: Desk) -> None:
        desk.calls.send(desk.attempt(definition))
        await desk.until(lambda: desk.slots.free == 4)
        assert [settled.outcome for settled in desk.reports] == [Outcome.UNKNOWN]
        assert desk.calls.overdue == 0

    at_a_desk(scene)


class Bench:
    """Where groups of atomic attempts are made, each when the test lets it."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.left = 0
        self.released = threading.Semaphore(0)

    def perform(self, group: Sequence[Attempt], trusting: bool) -> tuple[Callable[[], None], float]:
        self.sizes.append(len(group))
        self.released.acquire(timeout=20)
        return partial(self._leave, len(group)), 0.001 * len(group)

    def _leave(self, number: int) -> None:
        self.left += number


def test_quick_atomic_attempts_gather_for_the_next_group_while_two_are_at_work(define, monkeypatch):
    monkeypatch.setattr(Company, "most", 10)
    monkeypatch.setattr(Company, "moment", 60 * SECOND)
    definition = define(step("a", atomic=True))
    bench = Bench()

    async def scene(desk: Desk) -> None:
        for number in (4, 3, 2, 2):
            for _ in range(number):
                desk.calls.send(desk.attempt(definition))
            await asyncio.sleep(0.05)
        assert bench.sizes == [4, 3]
        bench.released.release()
        await desk.until(lambda: len(bench.sizes) == 3)
        assert bench.sizes[2] == 2 + 2
        bench.released.release(2)
        await desk.until(lambda: bench.left == 11)

    at_a_desk(scene, threads=4, backlog=20, perform=bench.perform)


def test_a_group_that_takes_long_keeps_no_others_waiting(define, monkeypatch):
    monkeypatch.setattr(Company, "moment", SECOND / 5)
    definition = define(step("a", atomic=True))
    bench = Bench()

    async def scene(desk: Desk) -> None:
        for _ in range(4):
            desk.calls.send(desk.attempt(definition))
            await asyncio.sleep(0.02)
        assert bench.sizes == [1, 1]
        await desk.until(lambda: bench.sizes == [1, 1, 2])
        bench.released.release(3)
        await desk.until(lambda: bench.left == 4)

    at_a_desk(scene, threads=4, perform=bench.perform)


def test_threads_are_as_many_as_allowed_and_used_again():
    threads = Threads(3)
    seen: set[str] = set()
    together = threading.Barrier(3, timeout=5)
    done = threading.Semaphore(0)

    def job() -> None:
        seen.add(threading.current_thread().name)
        together.wait()
        done.release()

    for _ in range(9):
        threads.submit(job)
    for _ in range(9):
        assert done.acquire(timeout=5)
    threads.close()
    assert len(seen) == 3


def test_a_thread_never_keeps_a_process_alive():
    before = set(threading.enumerate())
    threads = Threads(1)
    running = threading.Event()
    released = threading.Event()
    threads.submit(running.set)
    threads.submit(partial(wait_for, released))
    assert running.wait(5)
    assert [each.daemon for each in threading.enumerate() if each not in before] == [True]
    threads.close()
    released.set()
