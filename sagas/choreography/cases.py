"""The events of one correlation id and their deliveries: the truth about a case, and how it is closed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Min

from sagas.choreography.delivery import Outcome
from sagas.clock import DatabaseTime
from sagas.definitions import choreographies, subscriptions
from sagas.engine.locked import Locked
from sagas.keys import case_id
from sagas.messaging.backlog import live_cases
from sagas.models import IN_THE_WAY, InboxMessage, InboxStatus, OutboxMessage, Saga
from sagas.wake import wake_on_commit


@dataclass
class Case:
    """The events of one correlation id, and how far their deliveries have come."""

    events: list[OutboxMessage] = field(default_factory=list)
    """In the order of their publication."""
    due: list[InboxMessage] = field(default_factory=list)
    """Not handled yet, and not given up; those that are held among them."""
    dead: list[InboxMessage] = field(default_factory=list)

    @property
    def forward(self) -> list[OutboxMessage]:
        """Those that are not of the way back."""
        return [event for event in self.events if not event.headers.get("is_way_back")]

    @property
    def held(self) -> list[InboxMessage]:
        """Those that wait until a person releases them."""
        return [delivery for delivery in self.due if delivery.status == InboxStatus.HELD]

    def is_under_way(self, event_id: UUID) -> bool:
        """Whether somebody has not handled this event yet."""
        return any(delivery.event_id == event_id for delivery in (*self.due, *self.dead))

    def to_undo(self) -> list[tuple[OutboxMessage, str]]:
        """Return the events whose consequences can be taken back, the latest first, and by which topic."""
        found = [(event, subscriptions.undoing(event.topic)) for event in reversed(self.forward)]
        return [(event, topic) for event, topic in found if topic]


def cases_of(sagas: Sequence[Saga]) -> dict[str, Case]:
    """Read what belongs to these sagas, after they were locked."""
    ids = [saga.correlation_id for saga in sagas]
    cases: defaultdict[str, Case] = defaultdict(Case)
    for event in OutboxMessage.objects.filter(correlation_id__in=ids).order_by("id"):
        cases[event.correlation_id].events.append(event)
    open_ = InboxMessage.objects.filter(correlation_id__in=ids, status__in=IN_THE_WAY)
    for message in open_.defer("data").order_by("id"):
        case = cases[message.correlation_id]
        (case.dead if message.status == InboxStatus.DEAD else case.due).append(message)
    return cases


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
    rows = InboxMessage.objects.filter(
        correlation_id=locked.saga.correlation_id, status__in=[InboxStatus.DUE, InboxStatus.HELD]
    )
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
    case = cases_of([locked.saga])[locked.saga.correlation_id]
    return [topic for _event, topic in case.to_undo()]


def topics_without_undo(locked: Locked) -> list[str]:
    """Return the topics of the events of a case that nothing takes back, each once."""
    case = cases_of([locked.saga])[locked.saga.correlation_id]
    topics = dict.fromkeys(event.topic for event in case.forward)
    return [topic for topic in topics if not subscriptions.undoing(topic)]
