"""A saga as text: what it is, its steps, and what happened."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.utils import timezone

from sagas.choreography.timeline import Moment
from sagas.choreography.timeline import timeline as case_timeline
from sagas.management.commandline import as_json, printable, table
from sagas.models import HistoryEntry, Saga, SagaStep
from sagas.states import Direction


def timeline(saga: Saga) -> Iterator[str]:
    """Yield the paragraphs."""
    yield "\n".join(_head(saga))
    if moments := case_timeline(saga):
        rows = [row for moment in moments for row in _moment(moment)]
        yield "Events\n" + table([_EVENT_TITLES, *rows])
    yield "Steps\n" + table([_STEP_TITLES, *(_step(step) for step in saga.steps.all())])
    entries = [_entry(entry) for entry in saga.history.all()]
    yield "History\n" + (table(entries) if entries else "Nothing has happened yet.")


def _head(saga: Saga) -> Iterator[str]:
    yield printable(str(saga))
    yield f"  id           {saga.pk}"
    yield f"  definition   {saga.definition}, version {saga.version}"
    done = f"{saga.steps_done}/{saga.steps_total} steps done"
    yield f"  status       {saga.status}, going {saga.direction}, {done}"
    if saga.attention:
        yield f"  attention    {saga.get_attention_display()}"
    if saga.error_class:
        yield f"  last error   {printable(f'{saga.error_class}: {saga.error}')}"
    yield f"  created      {_time(saga.created_at)} by {printable(saga.started_by) or 'code'}"
    if saga.ended_at:
        yield f"  ended        {_time(saga.ended_at)}"
    if saga.due_at:
        yield f"  due          {_time(saga.due_at)}" + (f", held by {saga.held_by}" if saga.held_by else "")
    yield f"  input        {printable(as_json(saga.input))}"


_EVENT_TITLES = ("AT", "EVENT", "SUBSCRIBER", "STATUS", "TRIES", "ENDED", "CAME TO")


def _moment(moment: Moment) -> Iterator[tuple[str, ...]]:
    """Yield a row per delivery of an event, or one for an event that nobody is told of."""
    event = moment.event
    told = (_time(event.at), printable(event.topic))
    if not moment.deliveries:
        yield (*told, "", "", "", "", "")
    for delivery in moment.deliveries:
        came_to = f"{delivery.error_class}: {delivery.error}" if delivery.error_class else ""
        yield (
            *told,
            delivery.subscriber,
            str(delivery.status),
            str(delivery.tries),
            _time(delivery.ended_at),
            printable(came_to),
        )


_STEP_TITLES = ("STAGE", "STEP", "STATUS", "ATTEMPTS", "UNDO ATTEMPTS", "DUE", "ENDED", "UNDONE", "CAME TO")


def _step(step: SagaStep) -> tuple[str, ...]:
    came_to = f"{step.error_class}: {step.error}" if step.error_class else ""
    if step.result is not None:
        came_to = " ".join(filter(None, (as_json(step.result), came_to)))
    status = f"{step.status}, in doubt" if step.in_doubt else str(step.status)
    return (
        str(step.stage),
        step.name,
        status,
        str(step.attempts),
        str(step.undo_attempts),
        _time(step.due_at),
        _time(step.ended_at),
        _time(step.undo_ended_at),
        came_to,
    )


def _entry(entry: HistoryEntry) -> tuple[str, ...]:
    what = [entry.operation, f"{entry.from_status} → {entry.to_status}" if entry.to_status else ""]
    if entry.step:
        undo = "undo of " if entry.direction == Direction.BACK else ""
        what.append(f"{undo}{entry.step}" + (f", attempt {entry.attempt}" if entry.attempt else ""))
    return (
        _time(entry.at),
        entry.kind,
        entry.actor or entry.actor_kind,
        " ".join(filter(None, what)),
        " ".join(filter(None, (entry.reason, as_json(entry.data) if entry.data else ""))),
    )


def _time(at: datetime | None) -> str:
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S") if at else ""
