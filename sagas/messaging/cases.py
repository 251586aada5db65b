"""The sagas of declared choreographies: born with the event that starts them, closed when they are undone.

Whoever publishes an event of a case locks its saga. So does whoever closes it: what is published after that
is known to come too late.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sagas.definitions import Choreography, Event, choreographies
from sagas.keys import case_id
from sagas.models import Saga, SagaStep
from sagas.states import Direction, SagaKind, SagaStatus, StepKind


def open_cases(events: Iterable[Event]) -> dict[str, Direction]:
    """Start the sagas that these events begin; return which way each of their cases goes, by correlation id.

    Events that belong to no declared choreography have none. The sagas found stay locked.
    """
    if not len(choreographies):
        return {}
    events = list(events)
    born = {}
    for event in events:
        if (choreography := choreographies.started_by(event.topic)) and not event.is_way_back:
            born[case_id(event.correlation_id)] = (choreography, event)
    if born:
        Saga.objects.bulk_create([_saga(pk, *born[pk]) for pk in sorted(born)], ignore_conflicts=True)
        SagaStep.objects.bulk_create(
            [step for pk, (choreography, _) in born.items() for step in _steps(pk, choreography)],
            ignore_conflicts=True,
        )
    by_id = {case_id(event.correlation_id): event.correlation_id for event in events}
    cases = Saga.objects.select_for_update(no_key=True).filter(pk__in=list(by_id)).order_by("pk")
    return {by_id[pk]: Direction(way) for pk, way in cases.values_list("pk", "direction")}


def new_step(saga_id: UUID, topic: str, stage: int) -> SagaStep:
    """Return the step that stands for the events of a topic; it is not stored yet."""
    return SagaStep(saga_id=saga_id, name=topic, stage=stage, kind=StepKind.EVENT)


def _saga(pk: UUID, choreography: Choreography, event: Event) -> Saga:
    return Saga(
        id=pk,
        kind=SagaKind.CHOREOGRAPHY,
        definition=choreography.name,
        version=1,
        key=event.key or None,
        status=SagaStatus.PENDING,
        input=dict(event.data),
        steps_total=len(choreography.stages),
        current_step=choreography.starts,
        correlation_id=event.correlation_id,
        traceparent=event.traceparent,
        started_by=event.source,
    )


def _steps(pk: UUID, choreography: Choreography) -> list[SagaStep]:
    return [new_step(pk, topic, stage) for topic, stage in choreography.stages.items()]
