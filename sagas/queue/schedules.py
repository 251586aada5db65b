"""What django-q2's scheduler does for sagas now and then, where no supervisor does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import router, transaction
from django.utils import timezone
from django_q.models import Schedule

from sagas.engine import mutexes
from sagas.wake import queue_name

OPTIONS = {"save": False, "ack_failure": True, "timeout": 60}


@dataclass(frozen=True)
class Planned:
    """One schedule that should be there, under a name that no other has."""

    name: str
    func: str
    minutes: int

    def values(self) -> dict[str, Any]:
        """Return what its row should say. The scheduler looks about twice a minute."""
        return {
            "func": self.func,
            "kwargs": repr({"q_options": OPTIONS}),
            "schedule_type": Schedule.MINUTES,
            "minutes": self.minutes,
            "repeats": -1,
            # A schedule without a cluster is run by the one that bears the project's own name, if any does.
            "cluster": queue_name(),
        }


RECOVER = Planned("sagas: recover", "sagas.queue.tasks.recover", minutes=1)
PURGE = Planned("sagas: purge", "sagas.queue.tasks.purge", minutes=60)
PLANNED = (RECOVER, PURGE)


def install() -> dict[str, str]:
    """Have each schedule there once and as planned; return by name what was done: created, changed, kept."""
    with _alone():
        return {planned.name: _install(planned) for planned in PLANNED}


def remove() -> dict[str, str]:
    """Delete the schedules; return by name which were there."""
    with _alone():
        there = dict.fromkeys(installed(), "removed")
        _ours().delete()
    return there


def installed() -> dict[str, Schedule]:
    """Return by name the schedules that are there."""
    return {schedule.name: schedule for schedule in _ours().order_by("-pk")}


def differs(schedule: Schedule, planned: Planned) -> bool:
    """Say whether a schedule is not as planned."""
    return any(getattr(schedule, name) != value for name, value in planned.values().items())


def _install(planned: Planned) -> str:
    there: list[Any] = list(Schedule.objects.filter(name=planned.name).order_by("pk"))
    if not there:
        Schedule.objects.create(name=planned.name, next_run=timezone.now(), **planned.values())
        return "created"
    first, *doubles = there
    Schedule.objects.filter(pk__in=[double.pk for double in doubles]).delete()
    if not (doubles or differs(first, planned)):
        return "kept"
    # Not `save()`, which would write back a `next_run` that the scheduler may have moved on meanwhile.
    Schedule.objects.filter(pk=first.pk).update(**planned.values())
    return "changed"


def _ours() -> Any:
    return Schedule.objects.filter(name__in=[planned.name for planned in PLANNED])


@contextmanager
def _alone() -> Iterator[None]:
    """Let one at a time change them: nothing in their table keeps two of one name apart."""
    using = router.db_for_write(Schedule)
    with transaction.atomic(using=using):
        mutexes.take(using, ["schedules"])
        yield
