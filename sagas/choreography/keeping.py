"""Keeps the sagas of declared choreographies: what has come, what is missing, and the way back.

The events in the outbox and their deliveries are the truth; the saga and its steps, one per topic that
starts it or is expected, are brought up to date with them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from sagas.choreography.cases import Case, cases_of
from sagas.clock import DatabaseTime
from sagas.conf import saga_settings
from sagas.definitions import Choreography, Event, choreographies
from sagas.engine import publications
from sagas.engine.bell import announce, news_of
from sagas.engine.locked import Locked, lock, write
from sagas.engine.queries import fetch_again
from sagas.keys import case_id, undo_event_id
from sagas.messaging.backlog import live_cases
from sagas.messaging.envelopes import event_of
from sagas.models import HistoryKind, InboxMessage, OutboxMessage, OutboxStatus, Saga
from sagas.states import Attention, Direction, SagaStatus, StepStatus, WaitsFor

AT_ONCE = 500
LOOK_AGAIN = timedelta(minutes=1)
"""A case of which nothing is heard is looked at so often: a hint may have been lost."""
SHORTLY = timedelta(seconds=1)
"""A case that only has to be wound up is."""


def keep() -> bool:
    """Bring the cases up to date that have news or are due; say whether there were any."""
    names = tuple(choreography.name for choreography in choreographies)
    if not names:
        return False
    alias = Saga.objects.db
    wanted = {case_id(correlation_id) for (correlation_id,) in fetch_again(_with_news, alias=alias)}
    wanted |= {pk for (pk,) in fetch_again(_due, names, alias=alias)}
    return bool(wanted) and _keep(wanted)


def _with_news() -> QuerySet[OutboxMessage, tuple[Any, ...]]:
    news = OutboxMessage.objects.filter(status=OutboxStatus.PENDING).order_by("id")
    return news.values_list("correlation_id")[:AT_ONCE]


def _due(names: tuple[str, ...]) -> QuerySet[Saga, tuple[Any, ...]]:
    due = live_cases(names).filter(due_at__lte=DatabaseTime()).order_by("due_at")
    return due.values_list("pk")[:AT_ONCE]


def _keep(wanted: Collection[UUID]) -> bool:
    alias = Saga.objects.db
    with transaction.atomic(using=alias):
        rows = Saga.objects.filter(pk__in=wanted).order_by("pk")
        batch = lock(rows.select_for_update(skip_locked=True, no_key=True))
        if not batch:
            return False
        cases = cases_of([locked.saga for locked in batch])
        told: list[Event] = []
        for locked in batch:
            if (choreography := choreographies.get(locked.saga.definition)) and locked.saga.is_live:
                told += _brought_up_to_date(locked, choreography, cases[locked.saga.correlation_id])
        news = publications.news_of(batch)
        write(batch, *publications.inserts([*((event, None) for event in told), *news]))
        noted = [event.pk for case in cases.values() for event in case.events if event.status == "pending"]
        OutboxMessage.objects.filter(pk__in=noted).update(status=OutboxStatus.SENT)
        announce(news_of(batch))
    return bool(noted or told)


def _brought_up_to_date(locked: Locked, choreography: Choreography, case: Case) -> list[Event]:
    """Bring the saga's rows up to date, in memory; return what is to be published to undo it."""
    saga = locked.saga
    if saga.status == SagaStatus.PENDING:
        locked.move(saga.begin)
    for event in case.forward:
        _note(locked, choreography, event)
    if locked.direction is Direction.BACK:
        return _go_back(locked, case)
    topics = {event.topic for event in case.forward}
    if topics.isdisjoint((*choreography.ends, *choreography.undone)):
        saga.due_at = _next_deadline(locked)
    elif case.due or case.dead:
        # Whoever releases what is held says so: that is no reason to look each second.
        saga.due_at = locked.now + (LOOK_AGAIN if case.held == case.due and not case.dead else SHORTLY)
    else:
        return _end(locked, is_undone=not topics.isdisjoint(choreography.undone))
    _look_after(locked, case.dead, case.held, _missing(locked))
    return []


def _note(locked: Locked, choreography: Choreography, event: OutboxMessage) -> None:
    """Take note that an event was published, and of what is expected after it."""
    found = locked.steps.get(event.topic)
    if found is not None and found.status in (StepStatus.PENDING, StepStatus.WAITING):
        step = locked.step(event.topic)
        step.begin(now=event.at)
        step.result = {"event": str(event.event_id)}
        step.complete(now=event.at)
    for expected in choreography.after(event.topic):
        found = locked.steps.get(expected.topic)
        if found is not None and found.status == StepStatus.PENDING and locked.direction is Direction.FORWARD:
            locked.step(expected.topic).park(WaitsFor.EVENT, due_at=event.at + expected.within)


def _missing(locked: Locked) -> list[str]:
    return [
        name
        for name, step in locked.steps.items()
        if step.status == StepStatus.WAITING and step.due_at is not None and step.due_at <= locked.now
    ]


def _next_deadline(locked: Locked) -> datetime:
    times = [step.due_at for step in locked.steps.values() if step.due_at and step.due_at > locked.now]
    return min([*times, locked.now + LOOK_AGAIN])


def _end(locked: Locked, *, is_undone: bool) -> list[Event]:
    for name, step in locked.steps.items():
        if step.status == StepStatus.WAITING:
            locked.step(name).skip(now=locked.now)  # It ended in another way.
    _be_well(locked)
    if is_undone:
        locked.move(locked.saga.turn_back)
        locked.move(locked.saga.undone, now=locked.now)
    else:
        locked.move(locked.saga.complete, now=locked.now)
    return []


def _go_back(locked: Locked, case: Case) -> list[Event]:
    """Return the event that undoes the latest one which is not undone yet, if the one before is done with."""
    saga = locked.saga
    saga.due_at = locked.now + LOOK_AGAIN
    letters = [each for each in case.dead if each.headers.get("is_way_back") or each.in_doubt]
    _look_after(locked, letters, case.held)
    if any(not message.headers.get("is_way_back") for message in (*case.due, *letters)):
        saga.due_at = locked.now + SHORTLY
        return []  # What it comes to may have to be undone first.
    published = {event.event_id for event in case.events}
    for event, topic in case.to_undo():
        pk = undo_event_id(event.event_id)
        step = locked.steps.get(event.topic)
        if pk not in published:
            if step is not None and step.status == StepStatus.COMPLETED:
                locked.step(event.topic).undo(now=locked.now)
            saga.due_at = locked.now + SHORTLY
            return [_undoing(event, topic, pk)]
        if case.is_under_way(pk):
            return []
        if step is not None and step.status == StepStatus.COMPENSATING:
            locked.step(event.topic).undone(now=locked.now)
    if not case.due and not letters:
        for name, step in locked.steps.items():
            if step.status == StepStatus.WAITING:
                locked.step(name).skip(now=locked.now)
        locked.move(saga.undone, now=locked.now)
    return []


def _undoing(event: OutboxMessage, topic: str, pk: UUID) -> Event:
    undone = event_of(event)
    return Event(
        topic,
        undone.data,
        undone.key,
        id=pk,
        correlation_id=undone.correlation_id,
        causation_id=str(undone.id),
        source=saga_settings().source,
        traceparent=undone.traceparent,
        undoes=undone.id,
        is_way_back=True,
    )


def _look_after(
    locked: Locked,
    letters: Sequence[InboxMessage],
    held: Sequence[InboxMessage],
    missing: Sequence[str] = (),
) -> None:
    """Say what a person has to see to, or that there is nothing any more."""
    if letters:
        _need_person(locked, Attention.DEAD_LETTER, letters[0].error_class, _told_of(letters[0]))
    elif held:
        _need_person(locked, Attention.DELIVERY_HELD, "DeliveryHeld", _told_of_held(held))
    elif missing:
        _need_person(locked, Attention.MISSING_EVENT, "MissingEvent", _told_of_missing(missing))
    else:
        _be_well(locked)


def _need_person(locked: Locked, attention: Attention, error_class: str, error: str) -> None:
    saga = locked.saga
    if (saga.attention, saga.error) == (attention, error):
        return
    saga.attention = attention
    saga.note_error(error_class, error, step="")
    locked.record(kind=HistoryKind.EVIDENCE, data={"attention": attention.value, "error": error})


def _be_well(locked: Locked) -> None:
    if locked.saga.attention:
        locked.saga.attention = ""
        locked.saga.clear_error()
        locked.record(kind=HistoryKind.EVIDENCE, data={"well": True})


def _told_of(letter: InboxMessage) -> str:
    why = (letter.error or letter.error_class).rstrip(".")
    return (
        f"{letter.subscriber} has not handled {letter.topic}: {why}. Requeue the dead letter, or resolve it."
    )


def _told_of_held(deliveries: Sequence[InboxMessage]) -> str:
    topics = dict.fromkeys(f"{each.topic} to {each.subscriber}" for each in deliveries)
    return f"The delivery of {', '.join(topics)} is held. Release it when it may go on."


def _told_of_missing(topics: Sequence[str]) -> str:
    return f"{', '.join(topics)} was expected by now and has not come."
