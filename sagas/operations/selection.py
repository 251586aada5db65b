"""Which sagas are meant: those of some ids, or those that a filter finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet

from sagas.clock import utc
from sagas.engine.queries import Among
from sagas.exceptions import BatchRefused
from sagas.models import Saga

ANY = "any"
"""As `attention`: whatever it is that needs a person."""
FILTERS = frozenset(
    {
        "definition",
        "status",
        "status__in",
        "key",
        "key__startswith",
        "attention",
        "current_step",
        "failed_step",
        "error_class",
        "error_fingerprint",
        "created_at__gt",
        "created_at__lt",
        "updated_at__gt",
        "updated_at__lt",
    }
)
MOST_IDS = 10_000


def narrowed(sagas: QuerySet[Saga], wanted: Mapping[str, Any]) -> QuerySet[Saga]:
    """Return those of the sagas that are as wanted, by `FILTERS`."""
    filters = dict(wanted)
    if filters.get("attention") == ANY:
        del filters["attention"]
        sagas = sagas.exclude(attention="")
    return sagas.filter(**filters)


@dataclass(frozen=True)
class Selection:
    """Sagas that somebody chose: by id, or by a filter, and never by neither."""

    ids: tuple[UUID, ...] = ()
    filter: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.filter) - FILTERS):
            raise ValueError(f"Sagas are not selected by {', '.join(unknown)}, but by {sorted(FILTERS)}.")
        if self.ids and self.filter:
            raise BatchRefused(
                "Nothing was selected: name ids or a filter, and not both.", code="ambiguous_selection"
            )
        if not self.ids and not self.filter:
            raise BatchRefused(
                "Nothing was selected: an empty filter would mean every saga there is. Name a status or a "
                "definition at least, or the ids.",
                code="empty_filter",
            )
        if len(self.ids) > MOST_IDS:
            raise BatchRefused(
                f"Nothing was selected: {len(self.ids)} ids are more than {MOST_IDS}. Select by a filter.",
                code="too_many",
            )

    def sagas(self) -> QuerySet[Saga]:
        """Return them, in no particular order."""
        if self.ids:
            return Saga.objects.filter(Among(F("pk"), list(self.ids))).order_by()
        return narrowed(Saga.objects.order_by(), self.filter)

    def as_json(self) -> dict[str, Any]:
        """Return what a batch keeps of it: its items hold the ids."""
        if self.ids:
            return {"ids": len(set(self.ids))}
        return {
            "filter": {
                name: utc(value) if isinstance(value, datetime) else value
                for name, value in self.filter.items()
            }
        }
