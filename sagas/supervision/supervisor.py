"""Starts a cluster, looks after it, and replaces it when it is gone or wedged."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Hashable
from datetime import timedelta
from pathlib import Path
from time import monotonic

from django.db import DatabaseError, InterfaceError, close_old_connections, transaction
from django.db.models import QuerySet

from sagas.clock import DatabaseTime
from sagas.engine import recovery
from sagas.engine.claims import known
from sagas.messaging.backlog import deliveries_due
from sagas.models import BatchStatus, Saga, SagaBatch, Worker
from sagas.operations import chunks, retention
from sagas.states import AT_WORK
from sagas.supervision.session import Session, end_orphans, notes_of
from sagas.supervision.watch import Runner, Sight, Verdict, Watch
from sagas.wake import cluster_environment, queue_name, wake

log = logging.getLogger("sagas.supervision")

LOOK = timedelta(seconds=1)
SWEEP = timedelta(seconds=15)
"""How often what nobody was told of is looked for."""
PURGE = timedelta(hours=1)
"""How often what is kept for a while only is deleted."""
PAUSE = timedelta(seconds=1)
"""How long to wait before the next cluster when one ended at once; it doubles with each that does."""
LONGEST_PAUSE = timedelta(minutes=1)
QUICK = timedelta(seconds=10)
"""A cluster that ended sooner than this counts as one that ended at once."""


class Supervisor:
    """Keeps one cluster of this host at work. Several supervisors are harmless, on one host or on many."""

    def __init__(self, *, grace: timedelta) -> None:
        self.replaced = 0
        """How many clusters were replaced because they were gone or wedged."""
        self._grace = grace
        self._notes: Path = notes_of(queue_name())
        self._host = socket.gethostname()
        self._watch = Watch()
        self._session: Session | None = None
        self._started = self._swept = self._purged = monotonic()
        self._pause = PAUSE
        self._seen: dict[int, Worker] = {}
        self._answers = True

    def keep(self, *, wait: Callable[[timedelta], None], is_over: Callable[[], bool]) -> None:
        """Keep a cluster at work until `is_over` says so, and end it in good order then.

        `wait` waits for so long, or until it may be over.
        """
        for session in end_orphans(self._notes):
            log.warning("Ended what was left of cluster %d, whose supervisor is gone.", session)
        self._start()
        try:
            while not is_over():
                self._look_after(wait)
                wait(LOOK)
        finally:
            self._end()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due, nothing is held, and no batch runs."""
        if SagaBatch.objects.filter(status=BatchStatus.RUNNING).exists():
            return False
        mine = Saga.objects.filter(known(), status__in=AT_WORK)
        return not (mine.filter(due_at__lte=DatabaseTime()) | mine.exclude(held_by=None)).exists()

    def _look_after(self, wait: Callable[[timedelta], None]) -> None:
        assert self._session is not None
        if self._session.has_ended:
            log.error("Cluster %d ended by itself; another is started.", self._session.id)
            self._replace()
            if monotonic() - self._started < QUICK.total_seconds():
                wait(self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)
            else:
                self._pause = PAUSE
            self._start()
            return
        try:
            self._judge()
        except (DatabaseError, InterfaceError) as error:
            if self._answers:
                log.error("The database does not answer: %s. The cluster is left as it is.", error)
            self._answers = False
        else:
            if not self._answers:
                log.warning("The database answers again.")
            self._answers = True
        finally:
            close_old_connections()

    def _judge(self) -> None:
        self._bury(self._missing())
        if monotonic() - self._swept > SWEEP.total_seconds():
            self._swept = monotonic()
            recovery.recover()
            chunks.recover()
        if monotonic() - self._purged > PURGE.total_seconds():
            self._purged = monotonic()
            retention.purge()
        match self._watch.judge(self._see(), monotonic()):
            case Verdict.WELL:
                pass
            case Verdict.RING:
                wake()
            case Verdict.REPLACE:
                log.critical(
                    "Cluster %d has taken nothing of what is due for %s: it is killed and replaced.",
                    self._session.id if self._session else 0,
                    self._watch.patience,
                )
                self._watch.was_replaced()
                self._replace()
                self._start()

    def _see(self) -> Sight:
        due = Saga.objects.filter(known(), status__in=AT_WORK, due_at__lte=DatabaseTime()).order_by("due_at")
        with transaction.atomic(using=Saga.objects.db):
            # What a process has locked that stands still is not for this cluster to take.
            free = due.select_for_update(skip_locked=True, no_key=True)
            oldest = free.values_list("pk", "fence", "due_at").first() or _oldest_delivery()
        runners = self._ours().annotate(now=DatabaseTime()).values_list("now", "beat_at", "busy")
        return Sight(oldest, [Runner(now - beat_at, busy) for now, beat_at, busy in runners])

    def _ours(self) -> QuerySet[Worker]:
        assert self._session is not None
        return Worker.objects.filter(host=self._host, group=self._session.id)

    def _missing(self) -> list[Worker]:
        """Return the runners that were seen alive in this cluster and whose process is gone."""
        gone = []
        for worker in self._ours():
            if self._is_a_member(worker.pid):
                self._seen[worker.pid] = worker
            elif self._seen.get(worker.pid) == worker:
                gone.append(worker)
        return gone

    def _is_a_member(self, pid: int) -> bool:
        assert self._session is not None
        try:
            return os.getsid(pid) == self._session.id
        except ProcessLookupError:
            return False

    def _bury(self, workers: list[Worker]) -> None:
        """Have others go on with what dead runners held: now, instead of when the leases end."""
        if workers:
            left = recovery.give_back(worker.pk for worker in workers)
            log.error(
                "Runners %s are dead and held %d sagas and events; others go on.",
                [w.pid for w in workers],
                left,
            )

    def _start(self) -> None:
        self._started = monotonic()
        self._seen.clear()
        self._session = Session("qcluster", notes=self._notes, environment=cluster_environment())
        log.info("Started cluster %d for the queue %s.", self._session.id, queue_name())

    def _replace(self) -> None:
        assert self._session is not None
        self.replaced += 1
        self._session.kill()
        self._give_back_all()

    def _give_back_all(self) -> None:
        """Give back what the runners of a cluster held of which no process lives any more."""
        try:
            self._bury(list(self._ours()))
        except (DatabaseError, InterfaceError):
            log.warning("What the cluster held goes on when its leases end.", exc_info=True)

    def _end(self) -> None:
        assert self._session is not None
        if not self._session.stop(self._grace):
            log.warning("Cluster %d did not end within %s and was killed.", self._session.id, self._grace)
        self._give_back_all()


def _oldest_delivery() -> tuple[Hashable, ...] | None:
    due = deliveries_due().select_for_update(skip_locked=True, no_key=True)
    return due.values_list("pk", "tries", "due_at").first()
