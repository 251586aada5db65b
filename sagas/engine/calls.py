"""Makes a runner's calls, each under its time-out: on the loop, in a thread, or in a process of its own."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any, cast

from sagas.definitions import StepContext
from sagas.engine.attempts import Attempt, NotDone, Overtaken, Settled
from sagas.engine.functions import arguments, call_here, context_of, raised, returned, tracing_of, unsent
from sagas.engine.isolation import call_apart
from sagas.engine.slots import Slots
from sagas.engine.tempo import Company, Pace
from sagas.engine.threads import Threads
from sagas.exceptions import OutcomeUnknown
from sagas.states import Call, Outcome

log = logging.getLogger("sagas.engine")

GRACE = timedelta(seconds=30)
"""Beyond an attempt's time-out its saga's lease is no longer renewed."""
TO_KILL = timedelta(seconds=5)
"""How long a process may take to be killed, before it is given up like a thread."""

GROUPS_ABREAST = 2
"""Groups of quick atomic attempts at once: more of them would be smaller, and in each other's way."""


class Calls:
    """The calls in flight of one runner, on its event loop and in its threads.

    `report` is called on the loop with every outcome: at the latest when the attempt's time is up, and once
    more as evidence if the function comes back after that.
    """

    def __init__(
        self,
        slots: Slots,
        threads: Threads,
        report: Callable[[Settled], None],
        perform_atomically: Callable[[Sequence[Attempt], bool], tuple[Callable[[], None], float]],
    ) -> None:
        self._slots = slots
        self._threads = threads
        self._pace = Pace(threads.limit)
        # Thread and loop agree by it on who has an attempt: whoever takes it out. In CPython that is atomic.
        self._waiting: dict[Attempt, bool] = {}
        self._begun: dict[Attempt, float] = {}
        self._atomics: deque[Attempt] = deque()
        self._groups: dict[tuple[Attempt, ...], float] = {}
        self._company = Company()
        self._perform_atomically = perform_atomically
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._open: dict[Attempt, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.overdue = 0
        """Sync calls that were given up and still occupy a thread."""

    @property
    def in_flight(self) -> int:
        """How many attempts have no outcome yet."""
        return len(self._open)

    def send(self, attempt: Attempt) -> None:
        """Make the call, unless the lease under which it was marked is over."""
        sent = monotonic()
        if sent >= attempt.held.lease_ends:
            self._report(unsent(attempt))
            return
        limit = _limit(attempt)
        attempt.held.renewable_until = max(attempt.held.renewable_until, sent + limit + GRACE.total_seconds())
        if attempt.runs_on_loop:
            task = self._loop.create_task(self._run(attempt, sent))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._open[attempt] = self._loop.call_later(limit, self._give_up, attempt, sent, task)
        else:
            self._open[attempt] = self._loop.call_later(limit, self._look_at_thread, attempt)
            self._waiting[attempt] = True
            if attempt.is_atomic:
                self._atomics.append(attempt)
                if len(self._atomics) == 1:
                    self._loop.call_soon(self._begin_groups)  # Once all are sent that are to be sent now.
            else:
                self._threads.submit(lambda: self._run_in_thread(attempt))

    def give_back_waiting(self) -> None:
        """Report every attempt that has no thread yet as unsent: another runner may have one."""
        for attempt in list(self._waiting):
            if self._waiting.pop(attempt, False):
                self._came_back(attempt, unsent(attempt))

    async def _run(self, attempt: Attempt, sent: float) -> None:
        function = cast(
            "Callable[[StepContext], Coroutine[Any, Any, Any]]",
            attempt.step.function(attempt.direction, attempt.call),
        )
        with tracing_of(attempt) as trace:
            try:
                ctx = context_of(attempt)
                result = await function(*arguments(attempt, ctx))
                settled = returned(attempt, result, sent=sent, events=ctx.published)
            except BaseException as error:
                if self._loop.is_closed():
                    raise  # The runner is gone, and this is how Python clears away what it left.
                settled = raised(attempt, error, sent=sent)
            trace.came_to(settled.outcome.value, settled.error_class)
        self._came_back(attempt, settled)

    def _run_in_thread(self, attempt: Attempt) -> None:
        if not self._waiting.pop(attempt, False):
            return  # It was given back.
        self._begun[attempt] = began = monotonic()
        # It may have waited, or been stopped with its process, since the loop looked at the lease.
        alive = began < attempt.held.lease_ends
        call = call_apart if attempt.step.runs_apart(attempt.call) else call_here
        settled = call(attempt) if alive else unsent(attempt)
        try:
            self._loop.call_soon_threadsafe(self._left_thread, attempt, settled, monotonic() - began)
        except RuntimeError:
            # The runner gave this call up and is gone; what it did will be found out by its key.
            log.warning("%s came back after its runner had ended: %s.", attempt.label, settled.outcome.value)

    def _begin_groups(self) -> None:
        """Have the atomic attempts that wait made together, in as few transactions as have room for them."""
        while self._atomics and (self._company.size == 1 or self._young_groups() < GROUPS_ABREAST):
            group = tuple(self._atomics.popleft() for _ in range(min(self._company.size, len(self._atomics))))
            self._groups[group] = monotonic()
            self._threads.submit(partial(self._run_group, group))
            # One that is at work for longer than a moment keeps no other waiting.
            self._loop.call_later(self._company.moment.total_seconds(), self._begin_groups)

    def _young_groups(self) -> int:
        moment_ago = monotonic() - self._company.moment.total_seconds()
        return sum(began > moment_ago for began in self._groups.values())

    def _run_group(self, group: tuple[Attempt, ...]) -> None:
        """Make the calls of a group in one transaction."""
        taken = [attempt for attempt in group if self._waiting.pop(attempt, False)]
        try:
            if taken:
                self._run_together(taken, trusting=len(taken) > 1 and self._company.is_trusting)
        finally:
            with suppress(RuntimeError):  # The runner is gone.
                self._loop.call_soon_threadsafe(self._left_group, group)

    def _left_group(self, group: tuple[Attempt, ...]) -> None:
        del self._groups[group]
        self._begin_groups()

    def _run_together(self, group: Sequence[Attempt], *, trusting: bool = False) -> None:
        began = monotonic()
        self._begun.update(dict.fromkeys(group, began))
        try:
            if any(began >= attempt.held.lease_ends for attempt in group):
                raise Overtaken("The lease is over.")
            tell, seconds = self._perform_atomically(group, trusting)
            self._company.note(seconds / len(group))
        except NotDone:
            self._company.lose_trust()
            self._run_together(group)
        except BaseException as error:
            if len(group) > 1:
                log.info("A group of %d atomic attempts is made one by one: %r", len(group), error)
                for attempt in group:
                    if attempt in self._open:
                        self._run_together([attempt])
                    else:
                        self._hand_back(attempt, unsent(attempt), 0.0)
                return
            settled = (
                unsent(group[0]) if isinstance(error, Overtaken) else raised(group[0], error, sent=began)
            )
            self._hand_back(group[0], settled, monotonic() - began)
        else:
            with suppress(RuntimeError):  # The runner is gone: others go on when its leases end.
                self._loop.call_soon_threadsafe(self._left_together, group, tell)

    def _hand_back(self, attempt: Attempt, settled: Settled, seconds: float) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._left_thread, attempt, settled, seconds)

    def _left_together(self, group: Sequence[Attempt], tell: Callable[[], None]) -> None:
        for attempt in group:
            self._begun.pop(attempt, None)
            if (timer := self._open.pop(attempt, None)) is not None:
                timer.cancel()
            else:
                self.overdue -= 1
        self._slots.allow_backlog(self._pace.backlog(self._company.seconds))
        tell()

    def _left_thread(self, attempt: Attempt, settled: Settled, seconds: float) -> None:
        self._begun.pop(attempt, None)
        self._slots.allow_backlog(self._pace.backlog(seconds))
        self._came_back(attempt, settled)

    def _look_at_thread(self, attempt: Attempt) -> None:
        """Give a sync call up if its time is over; its time runs from when it got a thread."""
        limit = _limit(attempt)
        now = monotonic()
        began = self._begun.get(attempt, now)
        if now - began >= limit:
            self._give_up(attempt, began, None)
        elif attempt in self._open:
            attempt.held.renewable_until = max(
                attempt.held.renewable_until, began + limit + GRACE.total_seconds()
            )
            left = limit - (now - began)
            self._open[attempt] = self._loop.call_later(left, self._look_at_thread, attempt)

    def _came_back(self, attempt: Attempt, settled: Settled) -> None:
        timer = self._open.pop(attempt, None)
        if timer is not None:
            timer.cancel()
            self._report(settled)
            return
        if not attempt.runs_on_loop:
            self.overdue -= 1
        if settled.outcome is Outcome.DONE and attempt.call is Call.ACTION:
            self._report(settled)
        else:
            self._slots.give_back({attempt.runs_on_loop: 1})

    def _give_up(self, attempt: Attempt, sent: float, task: asyncio.Task[None] | None) -> None:
        if self._open.pop(attempt, None) is None:
            return
        limit = attempt.step.time_limit(attempt.direction, attempt.call)
        late = OutcomeUnknown(f"No answer within {limit}.")
        self._report(raised(attempt, late, sent=sent, ended=False))
        if task is None:
            self.overdue += 1
        else:
            # Asked, never awaited: a function may take its time to notice, or not notice at all.
            task.cancel()


def _limit(attempt: Attempt) -> float:
    """Return after how many seconds an attempt is given up."""
    limit = attempt.step.time_limit(attempt.direction, attempt.call)
    return (limit + TO_KILL if attempt.step.runs_apart(attempt.call) else limit).total_seconds()
