"""What django-q2 runs. Dotted paths to these stand in queued messages: they keep their names."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from django.db.models import QuerySet
from django_q.conf import Conf

from sagas.choreography.courier import Courier
from sagas.clock import DatabaseTime
from sagas.conf import saga_settings
from sagas.engine import recovery
from sagas.engine.garbage import collected_seldom
from sagas.engine.heartbeat import ALIVE_FOR
from sagas.engine.queries import fetch_again
from sagas.engine.runner import Runner
from sagas.models import Worker
from sagas.operations import chunks, retention
from sagas.wake import queue_name

log = logging.getLogger("sagas.queue")


def run_due() -> None:
    """Run what is due, unless enough runners of this cluster do. Never raises: sagas tell what failed."""
    try:
        if _runners_at_work() >= runners_allowed():
            return
        with collected_seldom():
            is_leaking = Runner(ends_process=True, companion=Courier()).run().leaking
        if is_leaking:
            _recycle_process()
    except Exception:
        log.exception("A runner ended with an error; its sagas go on when their leases end.")


def run_batch(batch_id: int, turn: int) -> None:
    """Go on with a batch, if this is still its turn. Never raises: what is left is found and gone on with."""
    try:
        chunks.run(batch_id, turn)
    except Exception:
        log.exception("A worker gave up batch %s; another goes on with it.", batch_id)


def recover() -> None:
    """Find what got stuck and have it taken, as `manage.py recover_sagas` does. Never raises."""
    try:
        recovery.recover()
        chunks.recover()
    except Exception:
        log.exception("What got stuck could not be looked for; the next round will.")


def purge() -> None:
    """Delete what is kept for a while only and whose time is over. Never raises."""
    try:
        retention.purge()
    except Exception:
        log.exception("What has expired could not be deleted; the next round will.")


def runners_allowed() -> int:
    """Return how many of a cluster's workers may run sagas at once."""
    return saga_settings().runners or max(1, int(Conf.WORKERS) // 2)


def _runners_at_work() -> int:
    """Count this cluster's runners; a worker killed a moment ago left its row, and does not count."""
    ours = (socket.gethostname(), os.getpgrp(), queue_name())
    seen = fetch_again(_beats, *ours, alias=Worker.objects.db)
    live = [pid for pid, beat_at, now in seen if now - beat_at <= ALIVE_FOR]
    if len(live) < len(seen):
        _runners(*ours).filter(beat_at__lt=DatabaseTime() - ALIVE_FOR).delete()
    return sum(map(_is_alive, live))


def _beats(host: str, group: int, queue: str) -> QuerySet[Worker, tuple[Any, ...]]:
    return _runners(host, group, queue).values_list("pid", "beat_at", DatabaseTime())


def _runners(host: str, group: int, queue: str) -> QuerySet[Worker]:
    return Worker.objects.filter(host=host, group=group, queue=queue)


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # This process is free, or it would not have been given the task.
    try:
        return os.getpgid(pid) == os.getpgrp()
    except ProcessLookupError:
        return False


def _recycle_process() -> None:
    """Have django-q2 replace this worker when the task returns: steps that hang occupy its threads."""
    Conf.MAX_RSS = 1
