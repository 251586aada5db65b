"""What the shop's sagas of the past days came to: rows as workers would have left them, without any work.

Nothing of it is due: what waits, waits for weeks, so that workers leave it as it is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import accumulate
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from django.db import models
from uuid_utils.compat import uuid5

from orders.demo.shop import PRODUCTS
from orders.sagas import PlaceOrder, ReturnOrder
from sagas import SagaDefinition
from sagas.keys import error_fingerprint
from sagas.models import ActorKind, HistoryEntry, HistoryKind, Saga, SagaStep
from sagas.states import Attention, Direction, SagaStatus, StepStatus, WaitsFor

Row: TypeAlias = dict[str, Any]
"""Columns by name: to make a million instances of models takes longer than to store them."""

SPAN = timedelta(days=14)
"""How far back they go, evenly."""
WAITING_FOR = timedelta(days=60)


@dataclass(frozen=True)
class Fate:
    """What became of a saga, and at which step."""

    weight: float
    """How many of a hundred come to this."""
    status: SagaStatus
    at: str = ""
    """The step that failed or waits; empty where none did."""
    came_to: StepStatus = StepStatus.FAILED
    undo_failed: str = ""
    """The step whose compensation failed."""
    attention: str = ""
    error: tuple[str, str] = ("", "")
    """Class and message; # stands for a number."""
    definition: type[SagaDefinition] = PlaceOrder

    @property
    def direction(self) -> Direction:
        """Which way it went last."""
        back = self.undo_failed or self.status in (SagaStatus.COMPENSATED, SagaStatus.COMPENSATING)
        return Direction.BACK if back else Direction.FORWARD

    @property
    def has_ended(self) -> bool:
        """Whether it needs nobody any more."""
        return self.status in (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.ABANDONED)


S, T = SagaStatus, StepStatus
DECLINED = ("PermanentFailure", "The card was declined: insufficient funds, reference #.")
NO_STOCK = ("PermanentFailure", "Only 2 of teapot are on the shelf.")
BUSY = ("RetryLater", "The gateway answered 503 to request #.")
SILENT = ("OutcomeUnknown", "No answer to charge # within 20 s.")
NO_BOOKING = ("PermanentFailure", "The carrier takes no bookings for postcode #.")
NO_REFUND = ("PermanentFailure", "Charge # is older than the gateway refunds.")
NO_ORDER = ("IntegrityError", "order # is locked by the accounts of the month")
NO_SHELF = ("LookupError", "shelf # is not in the plan of the warehouse")
KILLED = ("WorkerLost", "Its worker was lost 3 times.")
DRIFTED = ("DefinitionDrift", "The code no longer has step pack_order, which order # has.")

FATES = (
    Fate(83, S.COMPLETED),
    Fate(6, S.COMPLETED, definition=ReturnOrder),
    Fate(4, S.COMPENSATED, "process_payment", error=DECLINED),
    Fate(2.5, S.COMPENSATED, "reserve_inventory", error=NO_STOCK),
    Fate(1.5, S.COMPENSATED, "create_shipment", error=NO_BOOKING),
    Fate(0.2, S.ABANDONED, "process_payment", error=BUSY),
    Fate(
        0.5,
        S.FAILED,
        "create_shipment",
        T.FAILED,
        "process_payment",
        Attention.COMPENSATION_FAILED,
        NO_REFUND,
    ),
    Fate(0.4, S.FAILED, "confirm_order", T.UNKNOWN, "", Attention.UNKNOWN_OUTCOME, SILENT),
    Fate(0.3, S.FAILED, "confirm_order", T.FAILED, "", Attention.STEP_EXHAUSTED, NO_ORDER),
    Fate(0.2, S.FAILED, "process_payment", T.UNKNOWN, "", Attention.CRASH_LOOP, KILLED),
    Fate(0.1, S.FAILED, "create_shipment", T.PENDING, "", Attention.DEFINITION_DRIFT, DRIFTED),
    Fate(
        0.2,
        S.FAILED,
        "release_inventory",
        T.FAILED,
        "",
        Attention.PAST_PIVOT,
        NO_SHELF,
        definition=ReturnOrder,
    ),
    Fate(0.3, S.SUSPENDED, "process_payment", T.PENDING),
    Fate(0.5, S.RUNNING, "process_payment", T.WAITING, error=BUSY),
    Fate(0.3, S.COMPENSATING, "create_shipment", undo_failed="process_payment", error=NO_BOOKING),
)
_LIMITS = list(accumulate(fate.weight for fate in FATES))


@dataclass(frozen=True)
class Past:
    """The rows of one saga."""

    saga: Row
    steps: list[Row]
    history: list[Row]


def past(number: int, *, until: datetime, seed: int) -> Iterator[Past]:
    """Yield so many sagas of the time before `until`, the oldest first: one of each fate, then drawn."""
    draw = random.Random(seed)
    for index in range(number):
        fate = FATES[index] if index < len(FATES) else draw.choices(FATES, cum_weights=_LIMITS)[0]
        started = until - SPAN * ((number - index) / number)
        yield _Life(fate, draw, started, until).rows()


class _Life:
    """Makes the rows of one saga."""

    def __init__(self, fate: Fate, draw: random.Random, started: datetime, until: datetime) -> None:
        self._fate = fate
        self._draw = draw
        self._started = started
        # As most things that take their time: seldom much shorter than usual, sometimes much longer.
        length = timedelta(seconds=min(draw.lognormvariate(1.0, 0.7), 900))
        self._ended = min(started + length, until)
        self._tried = self._ended
        """When the attempt ended that failed."""
        self._due = until + WAITING_FOR * (1 + draw.random())
        self._id = _uuid7(started, draw)
        self._error = fate.error[1].replace("#", str(draw.randrange(10_000, 100_000)))

    def rows(self) -> Past:
        """Return them."""
        steps = list(self._steps())
        return Past(self._saga(steps), steps, list(self._history()))

    def _saga(self, steps: list[Row]) -> Row:
        fate, order_id = self._fate, str(uuid4())
        step = fate.undo_failed or fate.at
        error_class = fate.error[0] if step else ""
        name = fate.definition.name
        return _blank(Saga) | {
            "id": self._id,
            "definition": name,
            "version": fate.definition.version,
            "key": f"order:{order_id}",
            "status": fate.status.value,
            "direction": fate.direction.value,
            "attention": str(fate.attention),
            "input": self._input(order_id),
            "due_at": self._due if fate.status in (S.RUNNING, S.COMPENSATING) else None,
            "fence": 1,
            "revision": len(steps) + 1,
            "steps_done": sum(step["status"] in (T.COMPLETED, T.SKIPPED) for step in steps),
            "steps_total": len(steps),
            "current_step": step or steps[-1]["name"],
            "failed_step": step if fate.status is S.FAILED else "",
            "error_class": error_class,
            "error": self._error,
            "error_fingerprint": error_fingerprint(name, step, *fate.error) if error_class else "",
            "correlation_id": str(self._id),
            "started_by": "demo",
            "created_at": self._started,
            "updated_at": self._ended,
            "ended_at": self._ended if fate.has_ended else None,
        }

    def _input(self, order_id: str) -> dict[str, object]:
        if self._fate.definition is ReturnOrder:
            return {"order_id": order_id}
        sku = self._draw.choice(list(PRODUCTS))
        quantity = self._draw.randrange(1, 5)
        return {
            "order_id": order_id,
            "email": f"customer{self._draw.randrange(100_000)}@example.com",
            "lines": [{"sku": sku, "quantity": quantity}],
            "total": str(PRODUCTS[sku][1] * quantity),
            "trouble": "none",
        }

    def _steps(self) -> Iterator[Row]:
        fate = self._fate
        came_to = _came_to(fate)
        share = (self._ended - self._started) / len(came_to)
        for number, (name, stage, status) in enumerate(came_to):
            start = self._started + share * number
            key = str(uuid5(self._id, f"{name}:forward"))
            step = _blank(SagaStep) | {
                "saga_id": self._id,
                "name": name,
                "stage": stage,
                "status": status.value,
                "idempotency_key": key,
                "undo_key": str(uuid5(self._id, f"{name}:back")),
            }
            if name == fate.at:
                self._tried = start + share
            if status != T.PENDING:
                step |= {"attempts": 1, "sent_at": start, "started_at": start, "ended_at": start + share}
            if status in _UNDOING:
                step |= {"undo_attempts": 1, "undo_started_at": self._ended - share}
                step["undo_ended_at"] = None if status == T.COMPENSATING else self._ended
            if status in (T.WAITING, T.COMPENSATING):
                step["due_at"] = self._due
            if status == T.WAITING:
                step |= {"waits_for": WaitsFor.RETRY.value, "ended_at": None}
            if status in _DONE:
                step["result"] = {"reference": key[:8]}
            if name == (fate.undo_failed or fate.at) and fate.error[0]:
                step |= {"error_class": fate.error[0], "error": self._error, "in_doubt": status == T.UNKNOWN}
            yield step

    def _history(self) -> Iterator[Row]:
        fate = self._fate
        yield self._entry(self._started, S.PENDING, S.RUNNING)
        if fate.error[0]:
            yield self._entry(self._tried) | {
                "kind": HistoryKind.ATTEMPT.value,
                "step": fate.at,
                "direction": Direction.FORWARD.value,
                "attempt": 1,
                "data": {"outcome": "not_done", "class": fate.error[0], "error": self._error},
            }
        last = S.RUNNING
        if fate.direction is Direction.BACK:
            last = S.COMPENSATING
            yield self._entry(self._ended, S.RUNNING, last)
        if fate.status != last:
            entry = self._entry(self._ended, last, fate.status)
            if fate.attention:
                entry["data"] = {"attention": str(fate.attention)}
            yield entry | _ACTS.get(fate.status, {})

    def _entry(self, at: datetime, before: str = "", after: str = "") -> Row:
        changed = {"saga_id": self._id, "at": at, "from_status": str(before), "to_status": str(after)}
        return _blank(HistoryEntry) | {"kind": HistoryKind.STATUS.value} | changed


_DONE = (T.COMPLETED, T.COMPENSATED)
_UNDOING = (T.COMPENSATING, T.COMPENSATED, T.COMPENSATION_FAILED)
_ACTS = {
    status: {
        "kind": HistoryKind.ACT.value,
        "actor_kind": ActorKind.USER.value,
        "actor": "demo",
        "operation": operation,
        "reason": "The gateway has an outage.",
    }
    for status, operation in ((S.SUSPENDED, "suspend"), (S.ABANDONED, "abandon"))
}


def _uuid7(at: datetime, draw: random.Random) -> UUID:
    """Return the id of a saga that was started then."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(
        int=milliseconds << 80 | 7 << 76 | draw.getrandbits(12) << 64 | 2 << 62 | draw.getrandbits(62)
    )


@cache
def _blank(model: type[models.Model]) -> Row:
    """Return the columns of a new row, with their defaults and without an id."""
    row = model()
    return {
        field.attname: str(value) if isinstance(value, str) else value
        for field in model._meta.concrete_fields
        if not isinstance(field, models.AutoField)
        for value in [row.__dict__.get(field.attname)]
    }


@cache
def _came_to(fate: Fate) -> tuple[tuple[str, int, StepStatus], ...]:
    """Return each step's name and stage, and what such a saga's step came to."""
    outline = fate.definition.outline()
    failed_at = outline.stage_of[fate.at] if fate.at else len(outline.stages)
    undo_at = outline.stage_of[fate.undo_failed] if fate.undo_failed else -1

    def status(name: str, stage: int) -> StepStatus:
        if name == fate.at:
            return fate.came_to
        if stage > failed_at:
            return T.PENDING
        if name == fate.undo_failed:
            return T.COMPENSATION_FAILED if fate.status == S.FAILED else T.COMPENSATING
        is_undone = fate.direction is Direction.BACK and stage > undo_at
        return T.COMPENSATED if is_undone and outline.steps[name].is_undoable else T.COMPLETED

    return tuple((name, stage, status(name, stage)) for name, stage in outline.stage_of.items())
