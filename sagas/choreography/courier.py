"""Delivers events beside a runner, in the same process and under the same row in the table of workers.

One thread takes what is due, watches over what is in hand and keeps the cases of choreographies; others make
the calls. How many share a transaction is learnt: many where they are quick, and then one thread works for a
subscriber; one where they are slow, and then many do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock, Thread
from time import monotonic
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections

from sagas.choreography import cases, deliveries, handling, keeping
from sagas.choreography.deliveries import Taken
from sagas.choreography.delivery import Delivery, Outcome
from sagas.conf import saga_settings
from sagas.engine.attempts import NotDone, Overtaken
from sagas.engine.lookout import SHORTEST_PAUSE, pause_after
from sagas.engine.tempo import Company
from sagas.engine.threads import Threads
from sagas.engine.transactions import renew_connection
from sagas.exceptions import OutcomeUnknown
from sagas.models import InboxMessage

log = logging.getLogger("sagas.choreography")

PAUSE_WITHOUT_DATABASE = 1.0


class Crowd(Company):
    """How many deliveries to one subscriber share a transaction.

    Those that lock the same rows get in each other's way when they keep them for the length of a group: once
    the database had to part two groups, each goes alone for a while.
    """

    most = 200
    alone_for = 500
    """Deliveries that are made alone after a deadlock."""

    def __init__(self) -> None:
        super().__init__()
        self._alone = 0

    @property
    def size(self) -> int:
        """How many may go together."""
        return 1 if self._alone else super().size

    def note(self, seconds: float) -> None:
        """Learn how long one of them took."""
        super().note(seconds)
        self._alone = max(0, self._alone - 1)

    def part(self) -> None:
        """Learn that a group got in the way of another."""
        self._alone = self.alone_for


_crowds: dict[str, Crowd] = {}
"""What this process has learnt, by subscriber."""


@dataclass(eq=False)
class Group:
    """Deliveries that one thread makes."""

    subscriber: str
    deliveries: Sequence[Delivery]
    lease_ends: float
    """By the monotonic clock of this process."""
    is_alone: bool = False
    """No other thread of this process is to work for this subscriber meanwhile: they would be in the way."""
    current: tuple[Delivery, float] | None = None
    """The call that is being made, and since when."""
    given_up: bool = False


@dataclass
class Hand:
    """The groups whose threads have not come back."""

    groups: set[Group] = field(default_factory=set)
    stuck: int = 0
    """Threads that are at work on what was given up."""


class Courier:
    """Delivers what is due until it is stopped. `Runner` starts, watches and stops it."""

    def __init__(self) -> None:
        config = saga_settings()
        self._lease = config.lease
        self._poll = config.poll.total_seconds()
        self._linger = config.linger.total_seconds()
        self._batch = config.batch
        self._limit = config.threads
        self._threads = Threads(config.threads)
        self._hand = Hand()
        self._lock = Lock()
        self._came_back = Event()
        self._stopping = False
        self._apart = False
        self._last_found = monotonic()
        self._thread = Thread(target=self._run, name="saga-courier", daemon=True)

    def start(self, worker: UUID) -> None:
        """Begin to deliver, under this worker's name."""
        self._worker = worker
        self._thread.start()

    @property
    def in_hand(self) -> int:
        """How many groups of deliveries are under way."""
        return len(self._hand.groups)

    @property
    def is_idle(self) -> bool:
        """Whether nothing has been found for a while."""
        return not self._hand.groups and monotonic() - self._last_found > self._linger

    @property
    def is_leaking(self) -> bool:
        """Whether half of the threads are stuck in calls that were given up."""
        return self._hand.stuck * 2 >= self._limit

    def pause(self) -> None:
        """Take no more."""
        self._stopping = True
        self._came_back.set()

    def stop(self) -> None:
        """Take no more, and return when what is in hand has come back or was given up."""
        self.pause()
        if self._thread.is_alive():
            self._thread.join()
        self._threads.close()

    def earliest(self) -> datetime | None:
        """Return when there is something to do next, or was."""
        found = [at for at in (deliveries.earliest(), cases.earliest()) if at is not None]
        return min(found, default=None)

    def _run(self) -> None:
        try:
            self._work()
        except Exception:
            log.exception("The courier ended with an error; its deliveries go on when their leases end.")
        finally:
            connections.close_all()

    def _work(self) -> None:
        next_look = next_renewal = 0.0
        while True:
            if self._came_back.is_set():
                self._came_back.clear()
                next_look = 0.0
            now = monotonic()
            try:
                self._give_up_late(now)
                if now >= next_renewal:
                    next_renewal = now + self._lease.total_seconds() / 3
                    self._renew()
                if self._may_take() and now >= next_look:
                    again = self._take()
                    next_look = now if again else monotonic() + self._pause_before()
                elif self._stopping and not self._hand.groups:
                    return
                else:
                    self._came_back.wait(max(next_look - now, SHORTEST_PAUSE))
            except (DatabaseError, InterfaceError) as error:
                log.warning("The database does not answer; the courier waits.", exc_info=True)
                if self._stopping:
                    return
                self._came_back.wait(PAUSE_WITHOUT_DATABASE)
                renew_connection(InboxMessage.objects.db, error)

    def _may_take(self) -> bool:
        if self._stopping or self.is_leaking or (self._apart and self._hand.groups):
            return False
        return self._free() > 0

    def _free(self) -> int:
        return self._limit - len(self._hand.groups) - self._hand.stuck

    def _pause_before(self) -> float:
        """Return how long to wait until the next look: shortly after there was something to find."""
        idle = monotonic() - self._last_found
        return pause_after(idle, self._poll)

    def _take(self) -> bool:
        """Take what is due and have it delivered; say whether it is worth looking again at once."""
        noted = keeping.keep()
        size = min((crowd.size for crowd in _crowds.values()), default=1)
        limit = min(self._batch, self._free() * size)
        alone = not self._hand.groups
        lease_ends = monotonic() + self._lease.total_seconds()
        busy = {group.subscriber for group in self._hand.groups.copy() if group.is_alone}
        taken = deliveries.claim(self._worker, limit=limit, lease=self._lease, alone=alone, without=busy)
        self._apart = taken.apart
        cases.hint(taken.dead)
        for group in self._groups(taken, lease_ends):
            with self._lock:
                self._hand.groups.add(group)
            self._threads.submit(lambda group=group: self._deliver(group))  # type: ignore[misc]
        if noted or taken.deliveries:
            self._last_found = monotonic()
        return (taken.full and self._may_take()) or noted

    def _groups(self, taken: Taken, lease_ends: float) -> Iterable[Group]:
        """Share deliveries out among threads: one for each subscriber, or many where it is slow."""
        by_subscriber: dict[str, list[Delivery]] = {}
        for delivery in taken.deliveries:
            by_subscriber.setdefault(delivery.subscription.name, []).append(delivery)
        for name, found in by_subscriber.items():
            size = _crowd(name).size
            if size > 1 and found[0].subscription.atomic:
                size = len(found)
            for first in range(0, len(found), size):
                yield Group(name, found[first : first + size], lease_ends, is_alone=size > 1)

    def _deliver(self, group: Group) -> None:
        """Make the calls of a group, in a thread of its own."""
        outcomes: list[Outcome] = []
        crowd = _crowd(group.subscriber)
        left = group.deliveries
        try:
            while left and not group.given_up:
                part, left = left[: crowd.size], left[crowd.size :]
                trusting = len(part) > 1 and crowd.is_trusting
                outcomes += self._perform(group, part, crowd, trusting=trusting)
        except BaseException:
            log.warning("%d deliveries go on when their lease ends.", len(group.deliveries), exc_info=True)
        finally:
            self._let_go(group)
        with suppress(DatabaseError, InterfaceError):
            cases.hint(cases.concerned(outcomes))

    def _perform(
        self, group: Group, part: Sequence[Delivery], crowd: Crowd, *, trusting: bool
    ) -> list[Outcome]:
        began = monotonic()
        is_atomic = part[0].subscription.atomic
        begun = 0

        def begin(delivery: Delivery) -> None:
            nonlocal begun
            now = monotonic()
            is_leaving = self._stopping and not is_atomic and begun > 0
            if group.given_up or is_leaving or now >= group.lease_ends:
                raise Overtaken(f"The {delivery.label} is left to others.")
            group.current = (delivery, now)
            begun += 1

        try:
            outcomes = handling.perform(part, self._worker, trusting=trusting, begin=begin)
        except NotDone:
            crowd.lose_trust()
            return self._perform(group, part, crowd, trusting=False)
        except BaseException as error:
            renew_connection(InboxMessage.objects.db, error)
            log.warning("Of %d deliveries to %s: %r", len(part), part[0].subscription.name, error)
            if group.given_up:
                return []
            if not is_atomic:
                # What was called is not called again for this: it is in doubt, and goes on with its lease.
                deliveries.release(part[begun:], self._worker)
                return []
            return self._one_by_one(group, part, crowd, error)
        crowd.note((monotonic() - began) / len(part))
        return outcomes

    def _one_by_one(
        self, group: Group, part: Sequence[Delivery], crowd: Crowd, error: BaseException
    ) -> list[Outcome]:
        """Make the calls of a group that was voided, each alone; if it was one, write why."""
        if len(part) > 1:
            if isinstance(error, DatabaseError):
                crowd.part()
            made = (self._perform(group, [delivery], crowd, trusting=False) for delivery in part)
            return [outcome for outcomes in made for outcome in outcomes]
        if isinstance(error, Overtaken):
            return []
        return [handling.give_up(part[0], self._worker, error)]

    def _let_go(self, group: Group) -> None:
        with self._lock:
            if group.given_up:
                self._hand.stuck -= 1
            self._hand.groups.discard(group)
        self._last_found = monotonic()
        self._came_back.set()

    def _give_up_late(self, now: float) -> None:
        """Withdraw the calls whose time is over, and give back what waits behind them."""
        for group in list(self._hand.groups):
            current = group.current
            if current is None or now - current[1] < current[0].subscription.timeout.total_seconds():
                continue
            with self._lock:
                if group not in self._hand.groups:
                    continue
                group.given_up = True
                self._hand.groups.discard(group)
                self._hand.stuck += 1
            late = current[0]
            log.warning("The %s is given up: no answer within %s.", late.label, late.subscription.timeout)
            silence = OutcomeUnknown(f"It did not return within {late.subscription.timeout}.")
            cases.hint(cases.concerned([handling.give_up(late, self._worker, silence)]))
            deliveries.release([each for each in group.deliveries if each is not late], self._worker)

    def _renew(self) -> None:
        now = monotonic()
        groups = [group for group in self._hand.groups.copy() if now < group.lease_ends]
        if groups:
            lease_ends = now + self._lease.total_seconds()
            held = [delivery for group in groups for delivery in group.deliveries]
            deliveries.renew(held, self._worker, lease=self._lease)
            for group in groups:
                group.lease_ends = lease_ends


def _crowd(subscriber: str) -> Crowd:
    return _crowds.setdefault(subscriber, Crowd())


def deliver_due(worker: UUID) -> bool:
    """Deliver what is due now in this thread, and keep the cases; say whether there was anything."""
    noted = keeping.keep()
    taken = deliveries.claim(worker, limit=saga_settings().batch, lease=saga_settings().lease)
    cases.hint(taken.dead)
    outcomes: list[Outcome] = []
    for delivery in taken.deliveries:
        outcomes += handling.perform([delivery], worker)
    cases.hint(cases.concerned(outcomes))
    return bool(noted or taken.deliveries or taken.dead)
