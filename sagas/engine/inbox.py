"""Brings events and the sagas that wait for them together.

Entering a wait, delivering an event and timing out take one mutex per topic and key, and look at what the
others have written only under it: none can miss the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet, Value
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Concat

from sagas.clock import DatabaseTime
from sagas.engine import mutexes
from sagas.engine.facts import FactKind, open_fact
from sagas.engine.locked import Locked
from sagas.messaging import SUBSCRIBER
from sagas.models import InboxMessage, InboxStatus, Saga, SagaFact, SagaStep
from sagas.states import AT_WORK, StepKind, StepStatus, WaitsFor

MOST_AT_ONCE = 500
OPEN = (InboxStatus.PENDING, InboxStatus.KEPT)


def address(topic: str, key: str) -> str:
    """Return what a step that waits for an event waits on."""
    return f"event:{topic}:{key}"


def last_look(batch: Iterable[Locked]) -> None:
    """Look once more for the events of the waits whose time is up, so that none is given up in vain."""
    look_for(
        [
            (locked, step)
            for locked in batch
            for step in locked.steps.values()
            if step.waits_for == WaitsFor.EVENT
            and step.due_at is not None
            and step.due_at <= locked.now
            and open_fact(locked, FactKind.EVENT, step.name) is None
        ]
    )


def greet(batch: Iterable[Locked]) -> set[UUID]:
    """Look for events that came before the waits that begin now; return the sagas that have one."""
    return look_for([(locked, step) for locked in batch for step in locked.waiting])


def look_for(waits: Sequence[tuple[Locked, SagaStep]]) -> set[UUID]:
    """Give each of these waits the oldest event at its address that its saga has not had yet.

    Return the ids of the sagas that got one. The mutexes are kept: who delivers later finds the waits.
    """
    if not waits:
        return set()
    mutexes.take(Saga.objects.db, {step.waits_on for _locked, step in waits})
    here = _here({step.waits_on for _locked, step in waits})
    if not here:
        return set()
    told = SagaFact.objects.filter(kind=FactKind.EVENT, saga__in={locked.saga.pk for locked, _step in waits})
    had = set(told.values_list("saga_id", "source"))
    facts, taken = [], set()
    for locked, step in waits:
        for message in here.get(step.waits_on, []):
            if message.pk in taken or (locked.saga.pk, str(message.event_id)) in had:
                continue
            # One that is pending may have others who wait for it: whoever delivers it will tell them.
            if message.status == InboxStatus.KEPT:
                taken.add(message.pk)
            facts.append(_fact(message, step))
            locked.facts.append(facts[-1])
            break
    SagaFact.objects.bulk_create(facts)
    InboxMessage.objects.filter(pk__in=taken).update(status=InboxStatus.TAKEN)
    return {fact.saga_id for fact in facts}


def _here(addresses: Collection[str]) -> dict[str, list[InboxMessage]]:
    """Return the events that have come to these addresses and were not taken, the oldest first."""
    keys: dict[str, list[str]] = {}
    for each in addresses:
        _, topic, key = each.split(":", 2)
        keys.setdefault(topic, []).append(key)
    wanted = Q(pk__in=[])
    for topic, of_topic in keys.items():
        wanted |= Q(topic=topic, key__in=of_topic)
    found = InboxMessage.objects.filter(wanted, subscriber=SUBSCRIBER, status__in=OPEN)
    here: dict[str, list[InboxMessage]] = {}
    for message in found.order_by("id"):
        here.setdefault(address(message.topic, message.key), []).append(message)
    return here


def _fact(message: InboxMessage, step: SagaStep) -> SagaFact:
    return SagaFact(
        saga_id=step.saga_id,
        kind=FactKind.EVENT,
        source=str(message.event_id),
        data={"step": step.name, "data": message.data},
    )


def arrived() -> QuerySet[InboxMessage]:
    """Select the events for sagas that nobody has delivered yet."""
    return InboxMessage.objects.filter(status=InboxStatus.PENDING, subscriber=SUBSCRIBER)


def deliver() -> set[UUID]:
    """Tell the sagas that wait for them of the events that have arrived; return those sagas' ids.

    An event nobody waits for is kept. One that comes after the wait for it was given up is told too: the
    saga may have to stop undoing.
    """
    found = list(arrived().order_by("id")[:MOST_AT_ONCE])
    if not found:
        return set()
    with transaction.atomic(using=Saga.objects.db):
        return _deliver(found)


def _deliver(arrived: Sequence[InboxMessage]) -> set[UUID]:
    addresses = sorted({address(message.topic, message.key) for message in arrived})
    # Whoever enters the wait after this look does so under the mutex, and will find the event.
    waiting = SagaStep.objects.filter(
        waits_on__in=addresses,
        kind=StepKind.EVENT,
        status__in=[StepStatus.WAITING, StepStatus.FAILED],
    )
    sagas = sorted(set(waiting.values_list("saga_id", flat=True)))
    list(Saga.objects.select_for_update(no_key=True).filter(pk__in=sagas).order_by("pk").values_list("pk"))
    mutexes.take(Saga.objects.db, addresses)
    steps: dict[str, list[SagaStep]] = {}
    for step in waiting.filter(saga__in=sagas).order_by("id"):
        steps.setdefault(step.waits_on, []).append(step)
    pending = {
        message.pk: message
        for message in InboxMessage.objects.filter(pk__in=[m.pk for m in arrived], status=InboxStatus.PENDING)
    }
    told, taken = [], []
    for message in pending.values():
        found = steps.get(address(message.topic, message.key), [])
        told += [_fact(message, step) for step in found]
        if any(step.status == StepStatus.WAITING for step in found):
            taken.append(message.pk)
    SagaFact.objects.bulk_create(told, ignore_conflicts=True)
    InboxMessage.objects.filter(pk__in=taken).update(status=InboxStatus.TAKEN)
    InboxMessage.objects.filter(pk__in=pending.keys() - set(taken)).update(status=InboxStatus.KEPT)
    return set(sagas)


def missed(before: DatabaseTime | CombinedExpression) -> dict[UUID, set[int]]:
    """Return the sagas that wait for what came before this time, each with the primary keys of those events.

    There are none, unless a delivery was lost or rows were brought here in another way than by `offer`.
    """
    events = InboxMessage.objects.filter(subscriber=SUBSCRIBER, at__lte=before, status__in=OPEN).annotate(
        address=Concat(Value("event:"), "topic", Value(":"), "key")
    )
    steps = SagaStep.objects.filter(
        kind=StepKind.EVENT,
        status=StepStatus.WAITING,
        waits_on__in=events.values("address"),
        saga__status__in=AT_WORK,
        saga__held_by=None,
    )
    waiting = list(steps.order_by("id").values_list("saga_id", "waits_on")[:MOST_AT_ONCE])
    had = set(
        SagaFact.objects.filter(
            kind=FactKind.EVENT, saga__in=[saga for saga, _address in waiting]
        ).values_list("saga_id", "source")
    )
    found: dict[UUID, set[int]] = {}
    here = events.filter(address__in={waits_on for _saga, waits_on in waiting})
    for pk, event_id, at in here.values_list("pk", "event_id", "address"):
        for saga, waits_on in waiting:
            if waits_on == at and (saga, str(event_id)) not in had:
                found.setdefault(saga, set()).add(pk)
    return found


def deliver_missed() -> set[UUID]:
    """Deliver events once more to the sagas that wait for them; return those sagas' ids."""
    if found := missed(DatabaseTime()):
        events = InboxMessage.objects.filter(pk__in=set().union(*found.values()), status=InboxStatus.KEPT)
        events.update(status=InboxStatus.PENDING)
    return deliver()
