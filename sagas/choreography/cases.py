"""Keeps the sagas of declared choreographies: what has come, what is missing, and the way back.

The events in the outbox and their deliveries are the truth; the saga and its steps, one per topic that
starts it or is expected, are brought up to date with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Min

from sagas.choreography.deliveries import Outcome
from sagas.clock import DatabaseTime
from sagas.conf import saga_settings
from sagas.definitions import Choreography, Event, choreographies, subscriptions
from sagas.engine import publications
from sagas.engine.bell import announce, news_of
from sagas.engine.locked import Locked, lock, write
from sagas.keys import case_id, undo_event_id
from sagas.messaging.backlog import live_cases
from sagas.messaging.envelopes import event_of
from sagas.models import HistoryKind, InboxMessage, InboxStatus, OutboxMessage, OutboxStatus, Saga
from sagas.states import Attention, Direction, SagaStatus, StepStatus, WaitsFor
from sagas.wake import wake_on_commit

AT_ONCE = 500
LOOK_AGAIN = timedelta(minutes=1)
"""A case of which nothing is heard is looked at so often: a hint may have been lost."""
SHORTLY = timedelta(seconds=1)
"""A case that only has to be wound up is."""


@dataclass
class Case:
    """The events of one correlation id, and how far their deliveries have come."""

    events: list[OutboxMessage] = field(default_factory=list)
    """In the order of their publication."""
    due: list[InboxMessage] = field(default_factory=list)
    dead: list[InboxMessage] = field(default_factory=list)

    @property
    def forward(self) -> list[OutboxMessage]:
        """Those that are not of the way back."""
        return [event for event in self.events if not event.headers.get("is_way_back")]

    def is_under_way(self, event_id: UUID) -> bool:
        """Whether somebody has not handled this event yet."""
        return any(delivery.event_id == event_id for delivery in (*self.due, *self.dead))

    def to_undo(self) -> list[tuple[OutboxMessage, str]]:
        """Return the events whose consequences can be taken back, the latest first, and by which topic."""
        found = [(event, subscriptions.undoing(event.topic)) for event in reversed(self.forward)]
        return [(event, topic) for event, topic in found if topic]


def keep() -> bool:
    """Bring the cases up to date that have news or are due; say whether there were any."""
    if not len(choreographies):
        return False
    news = OutboxMessage.objects.filter(status=OutboxStatus.PENDING).order_by("id")
    heard = {case_id(each) for each in news.values_list("correlation_id", flat=True)[:AT_ONCE]}
    due = live_cases().filter(due_at__lte=DatabaseTime()).order_by("due_at")
    wanted = heard | set(due.values_list("pk", flat=True)[:AT_ONCE])
    return bool(wanted) and _keep(wanted)


def earliest() -> datetime | None:
    """Return when a case is to be looked at next, or was."""
    if not len(choreographies):
        return None
    at: datetime | None = live_cases().aggregate(at=Min("due_at"))["at"]
    return at


def hint(correlation_ids: Iterable[str]) -> None:
    """Have the cases of these correlation ids looked at now."""
    wanted = {case_id(each) for each in correlation_ids}
    if wanted and len(choreographies):
        with transaction.atomic(using=Saga.objects.db):
            rows = live_cases().filter(pk__in=wanted, due_at__gt=DatabaseTime())
            found = list(rows.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
            Saga.objects.filter(pk__in=found).update(due_at=DatabaseTime())


def concerned(outcomes: Iterable[Outcome]) -> set[str]:
    """Return the correlation ids of the cases that may go on, end or need a person after these calls."""
    last = {topic for each in choreographies for topic in (*each.ends, *each.undone)}
    return {
        outcome.delivery.event.correlation_id
        for outcome in outcomes
        if outcome.is_final
        and (
            outcome.error is not None
            or outcome.delivery.event.is_way_back
            or outcome.delivery.event.topic in last
        )
    }


def close(locked: Locked) -> None:
    """See to it that nothing of a case goes forward any more. Its saga is locked, and goes back.

    A call that may have had an effect outside goes on until it says what came of it, for that may have to be
    undone too. One in a transaction that is not written down yet counts no more.
    """
    rows = InboxMessage.objects.filter(correlation_id=locked.saga.correlation_id, status=InboxStatus.DUE)
    forward = [
        message.pk
        for message in rows.select_for_update(no_key=True).order_by("pk")
        if not message.headers.get("is_way_back") and not _may_have_happened(message)
    ]
    InboxMessage.objects.filter(pk__in=forward).update(
        status=InboxStatus.DEAD,
        held_by=None,
        ended_at=DatabaseTime(),
        error_class="CaseClosed",
        error="It was not handled yet when a person had its case undone.",
    )
    wake_on_commit(Saga.objects.db)


def _may_have_happened(message: InboxMessage) -> bool:
    subscription = subscriptions.get(message.subscriber)
    is_atomic = subscription is not None and subscription.atomic
    return message.in_doubt or (message.held_by is not None and not is_atomic)


def undo_topics(locked: Locked) -> list[str]:
    """Return the topics of the events that would be published, in their order, to undo a case."""
    case = _cases([locked.saga])[locked.saga.correlation_id]
    return [topic for _event, topic in case.to_undo()]


def topics_without_undo(locked: Locked) -> list[str]:
    """Return the topics of the events of a case that nothing takes back, each once."""
    case = _cases([locked.saga])[locked.saga.correlation_id]
    topics = dict.fromkeys(event.topic for event in case.forward)
    return [topic for topic in topics if not subscriptions.undoing(topic)]


def _keep(wanted: Collection[UUID]) -> bool:
    alias = Saga.objects.db
    with transaction.atomic(using=alias):
        rows = Saga.objects.filter(pk__in=wanted).order_by("pk")
        batch = lock(rows.select_for_update(skip_locked=True, no_key=True))
        if not batch:
            return False
        cases = _cases([locked.saga for locked in batch])
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


def _cases(sagas: Sequence[Saga]) -> dict[str, Case]:
    """Read what belongs to these sagas, after they were locked."""
    ids = [saga.correlation_id for saga in sagas]
    cases: defaultdict[str, Case] = defaultdict(Case)
    for event in OutboxMessage.objects.filter(correlation_id__in=ids).order_by("id"):
        cases[event.correlation_id].events.append(event)
    open_ = InboxMessage.objects.filter(
        correlation_id__in=ids, status__in=[InboxStatus.DUE, InboxStatus.DEAD]
    )
    for message in open_.defer("data").order_by("id"):
        case = cases[message.correlation_id]
        (case.due if message.status == InboxStatus.DUE else case.dead).append(message)
    return cases


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
        saga.due_at = locked.now + SHORTLY
    else:
        return _end(locked, is_undone=not topics.isdisjoint(choreography.undone))
    if case.dead:
        _need_person(locked, Attention.DEAD_LETTER, case.dead[0].error_class, _told_of(case.dead[0]))
    elif missing := _missing(locked):
        _need_person(locked, Attention.MISSING_EVENT, "MissingEvent", _told_of_missing(missing))
    else:
        _be_well(locked)
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
    if letters:
        _need_person(locked, Attention.DEAD_LETTER, letters[0].error_class, _told_of(letters[0]))
    else:
        _be_well(locked)
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
    return (
        f"{letter.subscriber} has not handled {letter.topic}: {letter.error or letter.error_class} "
        "Requeue the dead letter, or resolve it."
    )


def _told_of_missing(topics: Sequence[str]) -> str:
    return f"{', '.join(topics)} was expected by now and has not come."
