"""Reads the books of every saga from the database and the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from sagas.definitions import Element, Step, registry
from sagas.engine.admission import lock_names
from sagas.engine.facts import FactKind
from sagas.models import Saga
from sagas.states import SagaKind
from tests.chaos.books import Books, Declared, HistoryRow, StepRow
from tests.chaos.ledger import Kind, Ledger, Line, Service
from tests.chaos.load import Told
from tests.chaos.models import Entry
from tests.chaos.steps import LANDS_WITHIN

WISHES = (FactKind.TURN_BACK, FactKind.SUSPEND)


def all_books(ledger: Ledger, told: Told) -> Iterator[Books]:
    """Read the books of every saga that the engine conducts."""
    lines = lines_by_saga(ledger)
    sagas = Saga.objects.filter(kind=SagaKind.ORCHESTRATION)
    for saga in sagas.prefetch_related("steps", "history", "facts", "children").order_by("created_at"):
        pk = str(saga.pk)
        yield Books(
            id=pk,
            definition=saga.definition,
            status=saga.status,
            fence=saga.fence,
            attention=saga.attention,
            declared=declared(saga.definition),
            steps=[
                StepRow(
                    name=step.name,
                    status=step.status,
                    attempts=step.attempts,
                    undo_attempts=step.undo_attempts,
                    in_doubt=step.in_doubt,
                    idempotency_key=step.idempotency_key,
                    undo_key=step.undo_key,
                    result=step.result,
                )
                for step in saga.steps.all()
            ],
            history=[
                HistoryRow(
                    kind=entry.kind,
                    at=entry.at.timestamp(),
                    actor=entry.actor,
                    operation=entry.operation,
                    reason=entry.reason,
                    from_status=entry.from_status,
                    to_status=entry.to_status,
                    step=entry.step,
                    direction=entry.direction,
                    attempt=entry.attempt,
                    data=entry.data,
                )
                for entry in sorted(saga.history.all(), key=lambda entry: entry.pk)
            ],
            lines=lines.get(pk, []),
            purse=saga.input["purse"] if lock_names(registry.named(saga.definition), saga.input) else "",
            is_child=saga.parent_id is not None,
            children=[child.status for child in saga.children.all()],
            open_wishes=[
                fact.kind for fact in saga.facts.all() if fact.kind in WISHES and fact.applied_at is None
            ],
            accepted=[operation for of, operation in told.accepted if of == pk],
            uncertain=[operation for of, operation in told.uncertain if of == pk],
        )


def lines_by_saga(ledger: Ledger) -> dict[str, list[Line]]:
    """Return what the world and the local services have written of each saga, in its order."""
    found = defaultdict(list)
    for line in ledger.lines():
        if not line.event:
            found[line.saga].append(line)
    for entry in Entry.objects.order_by("pk"):
        found[str(entry.saga)].append(
            Line(
                kind=Kind(entry.kind),
                saga=str(entry.saga),
                step=entry.step,
                service=Service(entry.service),
                key=entry.key,
                at=entry.at,
            )
        )
    for lines in found.values():
        lines.sort(key=lambda line: line.at)
    return found


def declared(definition: str) -> list[Declared]:
    """Return the steps that a definition declares."""
    outline = registry.named(definition).outline()
    return [
        Declared(
            name=name,
            stage=outline.stage_of[name],
            service=_service(element),
            undoable=element.is_undoable,
            pivot=element.pivot,
            lands_within=LANDS_WITHIN.total_seconds(),
        )
        for name, element in outline.steps.items()
    ]


def _service(element: Element) -> Service | None:
    if not isinstance(element, Step):
        return None
    return Service(element.participant.name) if element.participant else Service.ATOMIC
