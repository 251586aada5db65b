"""Deletes what has ended and whose time is over: sagas with all that is told of them, events, and batches.

What anything still needs stays: a saga of which a member of its family has not ended or needs a person, a
delivery that was not made, an event of a case that is still there, a key that another saga may use. Each
chunk is a transaction of its own, with a row that says who deleted how much.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections, transaction
from django.db.models import Model, Q, QuerySet

from sagas.canonical import clean_text
from sagas.clock import DatabaseTime
from sagas.idempotency import purge_expired
from sagas.keys import case_id, step_key
from sagas.models import (
    BatchStatus,
    IdempotencyRecord,
    InboxMessage,
    InboxStatus,
    OutboxMessage,
    OutboxStatus,
    Pruning,
    Saga,
    SagaBatch,
    SagaStep,
    Worker,
)
from sagas.operations.actors import Actor, By
from sagas.participants import SCOPE
from sagas.states import TERMINAL, Direction, SagaStatus

CHUNK = 200
SILENT_FOR = timedelta(days=1)
"""A worker's row that was not written for so long tells nobody anything."""

HANDLED = (InboxStatus.KEPT, InboxStatus.TAKEN, InboxStatus.DONE, InboxStatus.RESOLVED)
"""Deliveries of which nothing more is to come; one that nobody waited for among them."""


@dataclass(frozen=True)
class Wanted:
    """What is to be deleted."""

    before: datetime
    """Only what ended before this."""
    statuses: Collection[SagaStatus] = TERMINAL
    definition: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether events and batches are meant too, which are of no one definition or status."""
        return set(self.statuses) == set(TERMINAL) and self.definition is None

    def sagas(self) -> QuerySet[Saga]:
        """Select the sagas that nobody started: families are deleted as one."""
        found = Saga.objects.filter(_is_over(self.before), parent=None, status__in=self.statuses)
        return found if self.definition is None else found.filter(definition=self.definition)


@dataclass(frozen=True)
class _Kind:
    """Rows that are deleted together with their parts."""

    model: type[Model]
    ended: str
    """The column that says since when they are of no more use."""
    select: Callable[[Wanted], QuerySet[Any]]
    members: Callable[[Sequence[Any], Wanted], list[Any]]
    """Which rows are to be deleted when these primary keys were selected: fewer, or more."""
    parts: Sequence[str] = ()
    """What belongs to them and goes to the archive with them, by its name on the row."""

    def next(self, wanted: Wanted, after: tuple[Any, Any] | None) -> list[tuple[Any, Any]]:
        """Lock the next rows, the oldest first; return each one's end and primary key."""
        found = self.select(wanted)
        if after is not None:
            at, pk = after
            found = found.filter(Q(**{f"{self.ended}__gt": at}) | Q(**{self.ended: at, "pk__gt": pk}))
        locked = found.select_for_update(skip_locked=_can_skip(), of=("self",) if _can_skip() else ())
        return list(locked.order_by(self.ended, "pk").values_list(self.ended, "pk")[:CHUNK])


def prune(
    wanted: Wanted,
    *,
    by: By,
    reason: str = "",
    archive: Path | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Counter[str]:
    """Delete it, chunk by chunk, and return how many rows of which model there were.

    With `archive` they are appended to this file first, as gzipped lines of JSON; what was written and could
    not be deleted then is deleted and written again by the next run.
    """
    deleted: Counter[str] = Counter()
    actor = Actor.of(by)

    def delete(kind: _Kind, ids: list[Any]) -> None:
        if archive is not None:
            _append(archive, _lines(kind, ids))
        counts = _delete(kind, ids)
        Pruning.objects.create(
            actor_kind=actor.kind,
            actor=actor.name,
            reason=clean_text(reason),
            before=wanted.before,
            counts=counts,
            archive=str(archive or "")[:500],
        )
        deleted.update(counts)

    _in_chunks(wanted, delete, is_stopping)
    return deleted


def count(wanted: Wanted) -> Counter[str]:
    """Count what would be deleted, without its parts."""
    found: Counter[str] = Counter()
    _in_chunks(wanted, lambda kind, ids: found.update({kind.model._meta.label: len(ids)}))
    return found


def purge() -> None:
    """Delete what is kept for a while only: results under keys, and the rows of workers long gone."""
    purge_expired()
    Worker.objects.filter(beat_at__lt=DatabaseTime() - SILENT_FOR).delete()


def _in_chunks(
    wanted: Wanted,
    act: Callable[[_Kind, list[Any]], None],
    is_stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Act on what is wanted, one kind after the other and each chunk in a transaction."""
    for kind in KINDS if wanted.is_everything else KINDS[:1]:
        after: tuple[Any, Any] | None = None
        while not is_stopping():
            with transaction.atomic(using=Saga.objects.db):
                rows = kind.next(wanted, after)
                if not rows:
                    break
                after = rows[-1]
                if ids := kind.members([pk for _ended, pk in rows], wanted):
                    act(kind, ids)


def _delete(kind: _Kind, ids: Sequence[Any]) -> dict[str, int]:
    connection = connections[Saga.objects.db]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # Else the history's trigger refuses, as it does everybody.
            cursor.execute("SELECT set_config('sagas.retention', 'on', true)")
    keys = _effect_keys(ids) if kind.model is Saga else []
    _, counts = kind.model._default_manager.filter(pk__in=ids).delete()
    records, _ = IdempotencyRecord.objects.filter(scope=SCOPE, key__in=keys).delete()
    if records:
        counts[IdempotencyRecord._meta.label] = records
    return {label: number for label, number in counts.items() if number}


def _effect_keys(sagas: Collection[Any]) -> list[str]:
    """Return the keys under which these sagas, and no others, had effects in this database."""
    rows = SagaStep.objects.filter(saga__in=sagas).values_list("saga_id", "name", "idempotency_key")
    return [
        key
        for saga, name, key in rows
        if str(saga) in key or key == step_key(saga, name, Direction.FORWARD)  # Not one that is shared.
    ]


# What is over


def _is_over(before: datetime) -> Q:
    return Q(status__in=TERMINAL, attention="", ended_at__lt=before)


def _families(roots: Sequence[Any], wanted: Wanted) -> list[Any]:
    """Return the sagas of the families of which each member is over."""
    root_of = {pk: pk for pk in roots}
    kept: set[Any] = set()
    level: Collection[Any] = roots
    while level:
        children = Saga.objects.filter(parent__in=level).select_for_update().order_by("pk")
        rows = list(children.values_list("pk", "parent", "status", "attention", "ended_at"))
        for pk, parent, status, attention, ended_at in rows:
            root_of[pk] = root_of[parent]
            if status not in TERMINAL or attention or ended_at is None or ended_at >= wanted.before:
                kept.add(root_of[parent])
        level = [row[0] for row in rows]
    return [pk for pk, root in root_of.items() if root not in kept]


def _without_cases(model: type[OutboxMessage] | type[InboxMessage]) -> Callable[..., list[Any]]:
    """Return those whose case is gone, or that never were of one: a case's events are its truth."""

    def members(ids: Sequence[Any], wanted: Wanted) -> list[Any]:
        rows = list(model.objects.filter(pk__in=ids).values_list("pk", "correlation_id"))
        cases = {correlation: case_id(correlation) for _pk, correlation in rows}
        there = set(Saga.objects.filter(pk__in=cases.values()).values_list("pk", flat=True))
        return [pk for pk, correlation in rows if cases[correlation] not in there]

    return members


KINDS = (
    _Kind(Saga, "ended_at", Wanted.sagas, _families, ("steps", "facts", "history", "published")),
    _Kind(
        InboxMessage,
        "at",
        lambda wanted: InboxMessage.objects.filter(at__lt=wanted.before, status__in=HANDLED),
        _without_cases(InboxMessage),
        ("acts",),
    ),
    _Kind(
        OutboxMessage,
        "at",
        # One that a saga published is told with it, and goes with it.
        lambda wanted: OutboxMessage.objects.filter(
            at__lt=wanted.before, status=OutboxStatus.SENT, saga=None
        ),
        _without_cases(OutboxMessage),
    ),
    _Kind(
        SagaBatch,
        "created_at",
        lambda wanted: SagaBatch.objects.filter(
            Q(status__in=[BatchStatus.DONE, BatchStatus.CANCELLED], ended_at__lt=wanted.before)
            | Q(status=BatchStatus.DRAFT, created_at__lt=wanted.before)
        ),
        lambda ids, wanted: list(ids),
    ),
)
"""Sagas first, for events of cases go when these are gone."""


def _can_skip() -> bool:
    return bool(connections[Saga.objects.db].features.has_select_for_update_skip_locked)


# The archive


def _lines(kind: _Kind, ids: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Yield each row with its parts, by the names of their columns."""
    parts = {name: _by_owner(kind.model, name, ids) for name in kind.parts}
    for row in kind.model._default_manager.filter(pk__in=ids).order_by("pk").values():
        yield {"model": kind.model._meta.label} | row | {name: of[row["id"]] for name, of in parts.items()}


def _by_owner(model: type[Model], name: str, ids: Sequence[Any]) -> defaultdict[Any, list[Any]]:
    relation: Any = model._meta.get_field(name)
    column = relation.field.attname
    found: defaultdict[Any, list[Any]] = defaultdict(list)
    for row in (
        relation.related_model._default_manager.filter(**{f"{column}__in": ids}).order_by("pk").values()
    ):
        found[row.pop(column)].append(row)
    return found


def _append(archive: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Append the lines and have them on the disk. For its owner alone: it holds what sagas worked on."""
    descriptor = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open(descriptor, "ab") as file:
        with gzip.open(file, "wt", encoding="utf-8") as member:  # A file may hold several, one after another.
            for line in lines:
                member.write(json.dumps(line, cls=DjangoJSONEncoder, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
