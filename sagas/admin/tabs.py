"""The tabs above a list: what an operator looks for, as addresses that can be kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from sagas.admin.paginator import MOST, capped
from sagas.engine.recovery import overdue
from sagas.models import Saga
from sagas.models.saga import RETRYING
from sagas.operations.courses import STUCK_AFTER
from sagas.states import TERMINAL, SagaStatus

PARAMETER = "tab"


@dataclass(frozen=True)
class Tab:
    """Some of the rows."""

    name: str
    label: str | Promise
    select: Callable[[QuerySet[Any]], QuerySet[Any]]
    empty: str | Promise
    """What is said where there are none."""


def _of(*statuses: SagaStatus) -> Callable[[QuerySet[Any]], QuerySet[Any]]:
    return lambda sagas: sagas.filter(status__in=statuses)


TABS = {
    tab.name: tab
    for tab in (
        Tab(
            "attention",
            gettext_lazy("Needs attention"),
            lambda sagas: sagas.exclude(attention=""),
            gettext_lazy("No saga needs attention."),
        ),
        # Apart from the others, for no index serves both.
        Tab(
            "stuck",
            gettext_lazy("Stuck"),
            lambda sagas: sagas.filter(pk__in=overdue(STUCK_AFTER).order_by().values("pk")),
            gettext_lazy("No saga is stuck."),
        ),
        Tab(
            "running",
            gettext_lazy("Running"),
            _of(SagaStatus.PENDING, SagaStatus.RUNNING),
            gettext_lazy("No saga is running."),
        ),
        Tab(
            "retrying",
            gettext_lazy("Retrying"),
            lambda sagas: sagas.filter(RETRYING),
            gettext_lazy("No saga waits for another attempt."),
        ),
        Tab(
            "compensating",
            gettext_lazy("Compensating"),
            _of(SagaStatus.COMPENSATING),
            gettext_lazy("No saga is being undone."),
        ),
        Tab(
            "suspended",
            gettext_lazy("Suspended"),
            _of(SagaStatus.SUSPENDED),
            gettext_lazy("No saga is suspended."),
        ),
        Tab("finished", gettext_lazy("Finished"), _of(*TERMINAL), gettext_lazy("No saga has ended yet.")),
        Tab("all", gettext_lazy("All"), lambda sagas: sagas, gettext_lazy("There are no sagas yet.")),
    )
}


@dataclass(frozen=True)
class ShownTab:
    """A tab as a link."""

    label: str | Promise
    url: str
    count: str
    is_current: bool


def counted(tabs: Mapping[str, Tab], rows: QuerySet[Any], **more: QuerySet[Any]) -> dict[str, int]:
    """Count the rows of each tab, and of `more` queries, no further than is of use: one statement."""
    return capped_counts({name: tab.select(rows) for name, tab in tabs.items()} | more)


def shown_tabs(tabs: Mapping[str, Tab], counts: Mapping[str, int], current: str | None) -> list[ShownTab]:
    """Return the tabs with how many rows each has."""
    return [
        ShownTab(tab.label, f"?{PARAMETER}={name}", capped(counts[name]), name == current)
        for name, tab in tabs.items()
    ]


def capped_counts(wanted: Mapping[str, QuerySet[Any]]) -> dict[str, int]:
    """Count the rows of several queries, each up to `MOST` + 1: one statement."""
    parts: list[str] = []
    values: list[Any] = []
    for query in wanted.values():
        sql, params = query.order_by().values("pk")[: MOST + 1].query.sql_with_params()
        parts.append(f"(SELECT COUNT(*) FROM ({sql}) counted)")
        values += params
    with connections[Saga.objects.db].cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(parts)}", values)
        return dict(zip(wanted, cursor.fetchone(), strict=True))
