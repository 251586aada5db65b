"""A saga's history as its page needs it: one part of it to be listed, and what it tells of attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from sagas.admin.entries import TOLD
from sagas.models import ActorKind, HistoryEntry, HistoryKind, Saga
from sagas.models.history import ACTS

MOST_ENTRIES = 50
"""Entries of the history on the page; older ones are a click away."""
MOST_TOLD = 200
"""Entries of the engine from which attempts are told of."""
OF_ATTEMPTS = Q(actor_kind=ActorKind.ENGINE) | Q(kind=HistoryKind.ACT, operation="edit")


@dataclass(frozen=True)
class Chronicle:
    """What is read of the history, the newest first."""

    listed: Sequence[HistoryEntry]
    older: int | None
    """Entries before this one are older; None if there are none."""
    of_attempts: Sequence[HistoryEntry]

    @property
    def told(self) -> list[HistoryEntry]:
        """The attempts that are told of in full."""
        return [entry for entry in self.of_attempts if entry.kind in TOLD]

    @property
    def edits(self) -> list[HistoryEntry]:
        """What operators replaced of the input."""
        return [entry for entry in self.of_attempts if entry.operation == "edit"]

    @property
    def workers(self) -> dict[datetime, str]:
        """Which worker wrote at which moment."""
        return {
            entry.at: entry.actor
            for entry in self.of_attempts
            if entry.actor and entry.actor_kind == ActorKind.ENGINE
        }


def chronicle(saga: Saga, *, only_acts: bool, before: int | None) -> Chronicle:
    """Read it: one statement, for what is listed and what is told of attempts is much the same."""
    wanted = Q(kind__in=ACTS) if only_acts else Q()
    if before is not None:
        wanted &= Q(pk__lt=before)
    parts = [
        saga.history.filter(rows).order_by("-id").values("pk")[:most]
        for rows, most in ((wanted, MOST_ENTRIES + 1), (OF_ATTEMPTS, MOST_TOLD))
    ]
    found = list(saga.history.filter(Q(pk__in=parts[0]) | Q(pk__in=parts[1])).order_by("-id"))
    # Of each part the newest are all there; of the older ones, what the other part has of them too.
    listed = [entry for entry in found if not only_acts or entry.kind in ACTS]
    listed = [entry for entry in listed if before is None or entry.pk < before]
    of_attempts = [
        entry
        for entry in found
        if entry.actor_kind == ActorKind.ENGINE
        or (entry.kind == HistoryKind.ACT and entry.operation == "edit")
    ]
    older = listed[MOST_ENTRIES - 1].pk if len(listed) > MOST_ENTRIES else None
    return Chronicle(listed[:MOST_ENTRIES], older, of_attempts[:MOST_TOLD])
