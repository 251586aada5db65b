"""All figures at once, read within bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, connections, transaction

from sagas.clock import database_now
from sagas.figures.acts import Act, last_acts
from sagas.figures.census import Standing, standing
from sagas.figures.failures import FailureGroup, failure_groups
from sagas.figures.flow import HalfHour, Passed, half_hours, passed
from sagas.figures.speed import Duration, durations
from sagas.figures.staff import WorkerFigures, workers
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


@dataclass(frozen=True)
class DefinitionFigures:
    """How the sagas of one definition fare."""

    definition: str
    open: int
    passed: int
    """Those that ended or halted within the last day."""
    failed: int
    """Those of them that halted, and still stand."""
    duration: Duration | None
    """Of those that completed last; None if none did."""

    @property
    def failed_rate(self) -> float:
        """The share of the failed among those that ended or halted."""
        return self.failed / self.passed if self.passed else 0.0


@dataclass(frozen=True)
class Dashboard:
    """What there is to see. A part is None that the database did not answer in time."""

    at: datetime
    tiles: Tiles | None
    half_hours: tuple[HalfHour, ...] | None
    failure_groups: tuple[FailureGroup, ...] | None
    definitions: tuple[DefinitionFigures, ...] | None
    workers: tuple[WorkerFigures, ...] | None
    acts: tuple[Act, ...] | None

    @property
    def workers_alive(self) -> int | None:
        """How many runners beat."""
        return None if self.workers is None else sum(worker.is_alive for worker in self.workers)


def dashboard() -> Dashboard:
    """Read all of it. Call it outside of a transaction, which would keep the bound on its statements."""
    now = database_now(Saga.objects.db)
    read = _read_in_time(
        {
            "standing": lambda: standing(now),
            "passed": lambda: passed(now),
            "durations": durations,
            "failure_groups": failure_groups,
            "workers": lambda: workers(now),
            "acts": last_acts,
        }
    )
    found: Sequence[Standing] | None = read["standing"]
    ended: Sequence[Passed] | None = read["passed"]
    taken: Mapping[str, Duration] = read["durations"] or {}
    return Dashboard(
        at=now,
        tiles=None if found is None else _tiles(found),
        half_hours=None if ended is None else half_hours(ended, now),
        failure_groups=read["failure_groups"],
        definitions=None if found is None or ended is None else tuple(_definitions(found, ended, taken)),
        workers=read["workers"],
        acts=read["acts"],
    )


def _tiles(found: Sequence[Standing]) -> Tiles:
    by_status: Counter[SagaStatus] = Counter()
    for each in found:
        by_status[each.status] += each.number
    return Tiles(
        attention=sum(each.attention for each in found),
        running=by_status[SagaStatus.PENDING] + by_status[SagaStatus.RUNNING],
        retrying=sum(each.retrying for each in found),
        compensating=by_status[SagaStatus.COMPENSATING],
        suspended=by_status[SagaStatus.SUSPENDED],
        stuck=sum(each.stuck for each in found),
        open=sum(by_status[status] for status in LIVE),
        oldest_open=min((each.oldest for each in found if each.status in LIVE), default=None),
    )


def _definitions(
    found: Sequence[Standing], ended: Sequence[Passed], taken: Mapping[str, Duration]
) -> Iterator[DefinitionFigures]:
    still_open, all_ended, failed = Counter[str](), Counter[str](), Counter[str]()
    for those in found:
        still_open[those.definition] += those.number if those.status in LIVE else 0
    for each in ended:
        all_ended[each.definition] += each.number
        failed[each.definition] += each.number if each.status == SagaStatus.FAILED else 0
    for name in sorted({*still_open, *all_ended, *taken}):
        yield DefinitionFigures(name, still_open[name], all_ended[name], failed[name], taken.get(name))


def _read_in_time(readers: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Return what each reads, None where that took too long. They share a transaction as far as can be."""
    found: dict[str, Any] = dict.fromkeys(readers)
    unread = list(readers)
    while unread:
        try:
            with _bounded():
                while unread:
                    found[unread[0]] = readers[unread[0]]()
                    del unread[0]
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != QUERY_CANCELED:
                raise
            del unread[0]
    return found


@contextmanager
def _bounded() -> Iterator[None]:
    using = Saga.objects.db
    with transaction.atomic(using=using):
        if connections[using].vendor == "postgresql":
            with connections[using].cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {PATIENCE // timedelta(milliseconds=1)}")
        yield
