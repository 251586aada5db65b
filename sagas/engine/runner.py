"""The loop that hosts it all: claim what is due, send the calls, settle what came back, in groups.

An event loop makes the calls. One thread does the books, claims and settlements, one at a time: while it is
at it, the outcomes that arrive gather for the next group. A runner ends when nothing is due for a while or
its budget is spent; what then is due later gets a wake-up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Protocol
from uuid import UUID, uuid4

from django.db import DatabaseError, InterfaceError, close_old_connections, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Min

from sagas.conf import saga_settings
from sagas.engine import atomics, errands
from sagas.engine.attempts import Attempt, Held, Settled
from sagas.engine.books import Books
from sagas.engine.calls import Calls
from sagas.engine.claims import Claimed, claim, known, look
from sagas.engine.heartbeat import PULSE, Heartbeat
from sagas.engine.holds import FreshHolds
from sagas.engine.lookout import Lookout
from sagas.engine.settlement import Settlement, Settling, settle
from sagas.engine.slots import Slots
from sagas.engine.threads import Threads
from sagas.engine.transactions import renew_connection
from sagas.models import Saga, Worker
from sagas.wake import clear_past_wakes, queue_name, wake

log = logging.getLogger("sagas.engine")

PAUSE_WITHOUT_DATABASE = 1.0
SPARE = timedelta(seconds=1)
"""A wake-up for the end of a lease comes so much later, and so serves the leases of the next second too."""
ALONE_FOR = 0.2
"""Seconds for which a companion waits while there are sagas: it would get in the way of the first one."""


@dataclass
class Ran:
    """What one run of a runner came to."""

    claimed: int = 0
    attempts: int = 0
    leaking: bool = False
    """Half of the threads are stuck in steps that were given up: the process is best replaced."""


class Companion(Protocol):
    """Works beside a runner in its process, in threads of its own, until the runner ends."""

    def start(self, worker: UUID) -> None:
        """Begin, under the runner's id."""

    @property
    def in_hand(self) -> int:
        """How much it is at work on."""

    @property
    def is_idle(self) -> bool:
        """Whether it has found nothing to do for a while."""

    @property
    def is_leaking(self) -> bool:
        """Whether half of its threads are stuck."""

    def pause(self) -> None:
        """Take nothing more."""

    def stop(self) -> None:
        """Take nothing more, and return when nothing is in hand."""

    def earliest(self) -> datetime | None:
        """Return when there is something to do next, or was."""


class Runner:
    """Moves sagas in this process until there is nothing to do, or its time is up.

    `only` restricts it to these sagas. A `companion` works beside it. `budget` and `linger` default to the
    settings'. `ends_process` lets the process be killed when its event loop hangs: for workers, not for a
    person's shell.
    """

    def __init__(
        self,
        *,
        only: Sequence[UUID] | None = None,
        budget: timedelta | None = None,
        linger: timedelta | None = None,
        ends_process: bool = False,
        companion: Companion | None = None,
    ) -> None:
        config = saga_settings()
        self._companion = companion
        self.id = uuid4()
        self.ran = Ran()
        self._config = config
        self._only = only
        self._budget = (budget or config.budget).total_seconds()
        self._linger = (config.linger if linger is None else linger).total_seconds()
        self._slots = Slots(threads=config.threads, tasks=config.tasks)
        self._lookout = Lookout(self._slots, batch=config.batch, poll=config.poll)
        self._holds = FreshHolds()
        self._hand: dict[UUID, Held] = {}
        self._outcomes: list[Settled] = []
        self._accompanied = False
        self._swept = False
        self._rung = float("-inf")
        self._lent = _open_connection()
        self._heartbeat = Heartbeat(
            self.id,
            lambda: list(self._hand.values()),
            lease=config.lease,
            ends_process=ends_process,
            beside=lambda: 0 if companion is None else companion.in_hand,
        )

    def run(self) -> Ran:
        """Run to the end and say what was done.

        Not by `asyncio.run`, which would wait for steps that do not let themselves be cancelled.
        """
        self._loop = _new_event_loop()
        main = self._loop.create_task(self._run())
        try:
            self._loop.run_until_complete(main)
        except BaseException:
            main.cancel()
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(main)
            raise
        finally:
            self._loop.close()
        return self.ran

    async def _run(self) -> None:
        self._came_back = asyncio.Event()
        self._books = Books(self._loop)
        threads = Threads(self._config.threads)
        self._calls = Calls(self._slots, threads, self._report, self._perform_atomically)
        pulse = self._loop.create_task(self._keep_pulse())
        try:
            await self._books.do(self._enrol)
            self._heartbeat.start()
            await self._work()
        finally:
            if self._companion is not None and self._accompanied:
                await self._books.do(self._companion.stop)
                self.ran.leaking = self._companion.is_leaking
            pulse.cancel()
            self.ran.leaking |= self._calls.overdue * 2 >= self._config.threads
            threads.close()
            if self._heartbeat.is_running:
                await self._books.do(self._heartbeat.stop)
            await self._books.do(self._leave)
            self._books.close()

    async def _work(self) -> None:
        began = monotonic()
        self._ends = ends = began + self._budget
        while True:
            self._came_back.clear()
            now = monotonic()
            if now >= began + ALONE_FOR:
                self._start_companion()
            may_claim = now < ends and self._calls.overdue * 2 < self._config.threads
            if not may_claim:
                self._calls.give_back_waiting()
                if self._companion is not None:
                    self._companion.pause()
            try:
                if self._outcomes:
                    await self._settle(begin=now < ends)
                    self._lookout.note_work()
                elif may_claim and self._lookout.is_time(in_hand=len(self._hand)):
                    await self._claim()
                elif not self._swept and (not self._hand or self._lookout.has_paused):
                    self._swept = True
                    await self._books.do(errands.sweep)
                elif not self._hand and (not may_claim or self._is_idle()):
                    return
                else:
                    # Awake at once when a call comes back; and at the latest when it is time to look.
                    await self._pause(self._lookout.pause)
            except (DatabaseError, InterfaceError) as error:
                log.warning("The database does not answer; the runner waits.", exc_info=True)
                if now >= ends + self._config.lease.total_seconds():
                    return  # Others have taken over what was in hand.
                await asyncio.sleep(PAUSE_WITHOUT_DATABASE)
                await self._books.do(partial(renew_connection, Saga.objects.db, error))
            await asyncio.sleep(0)  # Let the calls run that were just sent.

    def _start_companion(self) -> None:
        if self._companion is not None and not self._accompanied:
            self._accompanied = True
            self._companion.start(self.id)

    def _is_idle(self) -> bool:
        """Say whether it is time to leave: for a while there was nothing to do."""
        return self._lookout.idle > self._linger and (self._companion is None or self._companion.is_idle)

    async def _settle(self, *, begin: bool) -> None:
        outcomes, self._outcomes = self._outcomes, []
        try:
            settlement: Settlement = await self._books.do(
                lambda: settle(
                    outcomes,
                    self.id,
                    self._slots,
                    lease=self._config.lease,
                    begin=begin,
                    holds=self._holds.get(),
                )
            )
        except BaseException:
            self._outcomes = outcomes + self._outcomes
            raise
        self._go_on(settlement)

    def _perform_atomically(
        self, group: Sequence[Attempt], trusting: bool
    ) -> tuple[Callable[[], None], float]:
        """Make the calls of a group and settle it, in a thread.

        Return how to go on from there, on the loop, and how many seconds the calls took.
        """
        begin = monotonic() < self._ends
        settling = Settling(self.id, self._slots, self._config.lease, begin, self._holds.get())
        settlement, seconds = atomics.perform(group, settling, trusting=trusting)
        return lambda: self._go_on(settlement), seconds

    def _go_on(self, settlement: Settlement) -> None:
        self._came_back.set()
        self._send(settlement.attempts)
        for saga_id in settlement.let_go:
            self._hand.pop(saga_id, None)
        if settlement.let_go:
            self._lookout.note_let_go()

    async def _claim(self) -> None:
        claimed = await self._books.do(self._take_what_is_due)
        for attempt in claimed.attempts:
            self._hand[attempt.held.id] = attempt.held
        self.ran.claimed += len({attempt.held.id for attempt in claimed.attempts})
        self._send(claimed.attempts)
        self._lookout.note(claimed)
        if not claimed.attempts:
            self._start_companion()
        elif claimed.full or not self._has_rung:
            await self._books.do(partial(self._ring, more=claimed.full))

    def _take_what_is_due(self) -> Claimed:
        seen = look(self.id, self._only)
        if seen.has_come:
            errands.run_pending()
        elif not seen.is_due:
            return Claimed()
        return claim(
            self.id,
            self._slots,
            limit=self._lookout.room,
            lease=self._config.lease,
            alone=not self._hand,
            only=self._only,
            holds=self._holds.get(),
        )

    def _ring(self, *, more: bool) -> None:
        """Leave a wake-up in case this process dies, and call for help where there is more to do."""
        if more:
            wake()
        if not self._has_rung:
            self._rung = monotonic()
            wake(after=self._config.lease + SPARE)

    @property
    def _has_rung(self) -> bool:
        """Whether a wake-up was left that serves what is taken now, too."""
        return monotonic() < self._rung + SPARE.total_seconds()

    def _send(self, attempts: Sequence[Attempt]) -> None:
        self.ran.attempts += len(attempts)
        for attempt in attempts:
            self._calls.send(attempt)

    def _report(self, settled: Settled) -> None:
        self._outcomes.append(settled)
        self._came_back.set()

    async def _pause(self, seconds: float) -> None:
        timer = self._loop.call_later(max(seconds, 0.001), self._came_back.set)
        await self._came_back.wait()
        timer.cancel()

    async def _keep_pulse(self) -> None:
        while True:
            self._heartbeat.pulse()
            await asyncio.sleep(PULSE.total_seconds())

    def _enrol(self) -> None:
        if self._lent is not None:
            self._lent.inc_thread_sharing()
            connections[Saga.objects.db] = self._lent
        with transaction.atomic(using=Saga.objects.db):
            Worker.objects.create(
                id=self.id,
                host=socket.gethostname(),
                pid=os.getpid(),
                group=os.getpgrp(),
                queue=queue_name(),
                slots=self._slots.total,
            )
            self._ring(more=False)
            clear_past_wakes(Saga.objects.db)

    def _leave(self) -> None:
        """Sign off, and only then look once more: a wake-up that found this runner at work relied on it."""
        try:
            close_old_connections()  # A row that stays counts as a runner at work for a while.
            Worker.objects.filter(pk=self.id).delete()
            earliest: datetime | None = Saga.objects.filter(known(), due_at__isnull=False).aggregate(
                at=Min("due_at")
            )["at"]
            beside = self._companion.earliest() if self._companion is not None else None
            times = [at for at in (earliest, beside) if at is not None]
            if times and self._only is None:
                wake(min(times))
        except (DatabaseError, InterfaceError):
            log.warning("The runner could not sign off.", exc_info=True)
        finally:
            if self._lent is not None:
                del connections[Saga.objects.db]
                self._lent.dec_thread_sharing()
            connections.close_all()


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's loop where it is installed: its calls cost less than those of asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _open_connection() -> BaseDatabaseWrapper | None:
    """Return this thread's connection for the books to work with: a new one takes as long as a claim."""
    connection = connections[Saga.objects.db]
    return None if connection.connection is None or connection.in_atomic_block else connection
