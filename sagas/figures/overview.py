"""All figures at once, read within bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, transaction

from sagas.figures.acts import Act, last_acts
from sagas.figures.census import Census, census
from sagas.figures.failures import FailureGroup, failure_groups
from sagas.figures.flow import HalfHour, Passed, half_hours, passed
from sagas.figures.speed import Duration, durations
from sagas.figures.staff import WorkerFigures, time_and_workers
from sagas.models import Saga
from sagas.states import LIVE, SagaStatus

PATIENCE = timedelta(seconds=2)
"""How long one statement may take: a dashboard must not be what the database is busy with."""
QUERY_CANCELED = "57014"


@dataclass(frozen=True)
class Tiles:
    """The numbers that are looked at first."""

    attention: int
    """Sagas that need a person."""
    running: int
    retrying: int
    """Those of the running that wait for another attempt."""
    compensating: int
    suspended: int
    stuck: int
    """Due, and nobody moves them."""
    open: int
    """All that have not ended."""
    oldest_open: datetime | None
    """When the oldest saga was started that has not ended."""
    late_since: datetime | None
    """Since when the longest overdue delivery of an event waits for its subscriber."""
    dead_letters: int
    """Deliveries that were given up."""


@dataclass(frozen=True)
class DefinitionFigures:
    """How the sagas of one definition fare."""

    definition: str
    open: int
    passed: int
    """How often one ended or halted within the last day."""
    failed: int
    """How often one halted."""
    duration: Duration | None
    """Of those that completed last; None if none did."""

    @property
    def failed_rate(self) -> float:
        """The share of halts among ends and halts."""
        return self.failed / self.passed if self.passed else 0.0


@dataclass(frozen=True)
class Dashboard:
    """What there is to see. A part is None that the database did not answer in time."""

    at: datetime
    tiles: Tiles | None
    half_hours: tuple[HalfHour, ...] | None
    failure_groups: tuple[FailureGroup, ...] | None
    definitions: tuple[DefinitionFigures, ...] | None
    workers: tuple[WorkerFigures, ...]
    acts: tuple[Act, ...] | None

    @property
    def workers_alive(self) -> int:
        """How many runners beat."""
        return sum(worker.is_alive for worker in self.workers)


def dashboard() -> Dashboard:
    """Read all of it. Call it outside of a transaction, which would keep the bound on its statements."""
    now, staff, read = _read_in_time(
        {
            "census": census,
            "passed": passed,
            "durations": lambda now: durations(),
            "failure_groups": lambda now: failure_groups(),
            "acts": lambda now: last_acts(),
        }
    )
    found: Census | None = read["census"]
    ended: Sequence[Passed] | None = read["passed"]
    taken: Mapping[str, Duration] = read["durations"] or {}
    return Dashboard(
        at=now,
        tiles=None if found is None else _tiles(found),
        half_hours=None if ended is None else half_hours(ended, now),
        failure_groups=read["failure_groups"],
        definitions=None if found is None or ended is None else tuple(_definitions(found, ended, taken)),
        workers=staff,
        acts=read["acts"],
    )


def _tiles(found: Census) -> Tiles:
    return Tiles(
        attention=found.attention,
        running=found.number(SagaStatus.PENDING) + found.number(SagaStatus.RUNNING),
        retrying=found.retrying,
        compensating=found.number(SagaStatus.COMPENSATING),
        suspended=found.number(SagaStatus.SUSPENDED),
        stuck=found.stuck,
        open=sum(map(found.number, LIVE)),
        oldest_open=found.oldest(*LIVE),
        late_since=found.late_since,
        dead_letters=found.dead_letters,
    )


def _definitions(
    found: Census, ended: Sequence[Passed], taken: Mapping[str, Duration]
) -> Iterator[DefinitionFigures]:
    still_open, all_ended, failed = Counter[str](), Counter[str](), Counter[str]()
    for each in found.standing:
        still_open[each.definition] += each.number
    for one in ended:
        all_ended[one.definition] += one.number
        failed[one.definition] += one.number if one.status == SagaStatus.FAILED else 0
    for name in sorted({*still_open, *all_ended, *taken}):
        yield DefinitionFigures(name, still_open[name], all_ended[name], failed[name], taken.get(name))


def _read_in_time(
    readers: Mapping[str, Callable[[datetime], Any]],
) -> tuple[datetime, tuple[WorkerFigures, ...], dict[str, Any]]:
    """Return the time, who is at work, and what each reads, None where that took too long.

    They share a transaction as far as can be: one whose statement was cancelled is of no further use.
    """
    found: dict[str, Any] = dict.fromkeys(readers)
    unread = list(readers)
    while True:
        try:
            with transaction.atomic(using=Saga.objects.db):
                now, staff = time_and_workers(PATIENCE)
                while unread:
                    found[unread[0]] = readers[unread[0]](now)
                    del unread[0]
            return now, staff, found
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != QUERY_CANCELED:
                raise
            del unread[0]
