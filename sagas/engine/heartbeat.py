"""Keeps a runner's leases and its `Worker` row fresh, from a thread of its own.

The thread renews only while the event loop turns. A loop that is silent for ten seconds is as good as dead,
and its process ends itself rather than hold sagas it does not move.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Collection
from datetime import timedelta
from threading import Event, Thread
from time import monotonic
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Q

from sagas.clock import DatabaseTime
from sagas.engine.attempts import Held
from sagas.engine.facts import FactKind
from sagas.models import Saga, Worker
from sagas.states import AT_WORK
from sagas.wake import wake

log = logging.getLogger("sagas.engine")

SILENCE = timedelta(seconds=10)
PULSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=5)
ALIVE_FOR = timedelta(seconds=15)
"""A worker that has not beaten for so long is taken for dead."""


def renew(worker: UUID, held: Collection[Held], *, lease: timedelta) -> None:
    """Extend the leases of these sagas, as far as the worker still has them.

    Rows that a settlement has locked are passed by: it renews them itself.
    """
    began = monotonic()
    by_id = {saga.id: saga for saga in held if saga.renewable_until > began}
    if not by_id:
        return
    with transaction.atomic(using=Saga.objects.db):
        rows = Saga.objects.select_for_update(skip_locked=True, no_key=True)
        free = list(
            rows.filter(pk__in=list(by_id), held_by=worker, status__in=AT_WORK)
            .order_by("pk")
            .values_list("pk", "fence")
        )
        ours = [pk for pk, fence in free if by_id[pk].fence == fence]
        Saga.objects.filter(pk__in=ours).update(due_at=DatabaseTime() + lease)
    for pk in ours:
        by_id[pk].lease_ends = began + lease.total_seconds()
    if ours:
        wake(after=lease + timedelta(seconds=1))


def note_wishes(held: Collection[Held]) -> None:
    """Let the steps at work see that their saga is to turn back."""
    by_id = {saga.id: saga for saga in held}
    now = DatabaseTime()
    wanted = Q(facts__kind=FactKind.TURN_BACK, facts__applied_at=None) | Q(deadline_at__lte=now)
    for pk in Saga.objects.filter(wanted, pk__in=list(by_id)).values_list("pk", flat=True):
        by_id[pk].asked_to_stop = True


class Heartbeat:
    """A thread that beats for one runner. `beside` says how much it has in hand besides sagas."""

    def __init__(
        self,
        worker: UUID,
        held: Callable[[], Collection[Held]],
        *,
        lease: timedelta,
        ends_process: bool,
        beside: Callable[[], int] = lambda: 0,
    ) -> None:
        self._worker = worker
        self._held = held
        self._beside = beside
        self._lease = lease
        self._ends_process = ends_process
        self._pulse = monotonic()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="saga-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def pulse(self) -> None:
        """Say that the event loop turns."""
        self._pulse = monotonic()

    @property
    def is_running(self) -> bool:
        """Whether the thread was started and has not ended."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the thread, waiting for a renewal in progress."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        pause = min(self._lease / 3, LONGEST_PAUSE).total_seconds()
        try:
            while not self._stop.wait(pause):
                if monotonic() - self._pulse > SILENCE.total_seconds():
                    self._end_process()
                else:
                    self._beat()
        finally:
            connections.close_all()

    def _beat(self) -> None:
        try:
            held = list(self._held())
            renew(self._worker, held, lease=self._lease)
            note_wishes(held)
            Worker.objects.filter(pk=self._worker).update(
                beat_at=DatabaseTime(), busy=len(held) + self._beside()
            )
        except Exception:  # A thread that ends would let the leases run out under calls that are well.
            log.warning("A heartbeat could not be written; leases run until they end.", exc_info=True)
            connections[Saga.objects.db].close()

    def _end_process(self) -> None:
        log.critical("The event loop of process %d is silent for %s.", os.getpid(), SILENCE)
        if self._ends_process:
            os.kill(os.getpid(), signal.SIGKILL)
