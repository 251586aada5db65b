"""A run of the demonstration: orders are placed, ended by the workers, and accounted for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.contrib.auth.models import User

from orders.choreography import ORDER
from orders.demo.balance import differences
from orders.demo.workload import PlannedOrder
from orders.sagas import PlaceOrder, ReturnOrder
from orders.services import Pattern, place_order
from sagas.models import Saga
from sagas.states import AT_WORK, SagaStatus

PATIENCE = timedelta(seconds=60)
"""How long nothing may end before what is left is called stuck. The longest lawful wait is a tenth of it."""
OTHERS = timedelta(seconds=20)
LOOK_EVERY = timedelta(milliseconds=200)
AT_ONCE = 500
ENDS = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)


@dataclass(frozen=True)
class Account:
    """What came of a run. The field names are those of its JSON."""

    orders: int
    completed: int
    compensated: int
    failed: int
    """Halted: these need a person."""
    stuck: int
    """Neither ended nor halted, and nothing moved any more."""
    balanced: bool
    seconds: float

    @property
    def is_well(self) -> bool:
        """Whether everything ended as it should."""
        return self.balanced and not self.failed and not self.stuck

    def __str__(self) -> str:
        books = "the books balance" if self.balanced else "the books do not balance"
        return (
            f"{self.orders} orders in {self.seconds} s: {self.completed} completed, {self.compensated} "
            f"compensated, {self.failed} failed, {self.stuck} stuck; {books}."
        )


def carry_out(
    plan: list[PlannedOrder],
    *,
    by: User,
    look_up: Callable[[], None],
    pattern: Pattern = Pattern.ORCHESTRATION,
) -> tuple[Account, list[str]]:
    """Place the orders, wait until each has ended, and return the account and what does not balance."""
    begun = time.monotonic()
    sagas = place(plan, by=by, pattern=pattern)
    watch(sagas, look_up=look_up, patience=PATIENCE)
    took = timedelta(seconds=time.monotonic() - begun)
    # The books balance over all orders there are, so those of others have to come to rest too.
    watch(_sagas_at_work(), look_up=look_up, patience=OTHERS)
    wrong = list(differences())
    return _account(sagas, balanced=not wrong, took=took), wrong


def place(plan: Iterable[PlannedOrder], *, by: User, pattern: Pattern = Pattern.ORCHESTRATION) -> list[UUID]:
    """Place the orders and return the ids of their sagas."""
    placed = (
        place_order(order.email, order.quantities, trouble=order.asks, by=by, pattern=pattern)
        for order in plan
    )
    return [order.saga_id for order in placed if order.saga_id]


def watch(sagas: Iterable[UUID], *, look_up: Callable[[], None], patience: timedelta) -> None:
    """Wait until no saga is at work, or none has ended for as long as `patience`.

    `look_up` is called at every look and ends the wait by raising.
    """
    at_work = set(sagas)
    given_up_at = time.monotonic() + patience.total_seconds()
    while at_work and time.monotonic() < given_up_at:
        look_up()
        time.sleep(LOOK_EVERY.total_seconds())
        left = {saga for saga, status in _statuses(at_work) if status in AT_WORK}
        if len(left) < len(at_work):
            given_up_at = time.monotonic() + patience.total_seconds()
        at_work = left


def _sagas_at_work() -> list[UUID]:
    names = [PlaceOrder.name, ReturnOrder.name, ORDER.name]
    return list(Saga.objects.filter(definition__in=names, status__in=AT_WORK).values_list("pk", flat=True))


def _account(sagas: list[UUID], *, balanced: bool, took: timedelta) -> Account:
    ended = Counter(status for _saga, status in _statuses(sagas))
    completed, compensated, failed = (ended[status] for status in ENDS)
    return Account(
        orders=len(sagas),
        completed=completed,
        compensated=compensated,
        failed=failed,
        stuck=len(sagas) - completed - compensated - failed,
        balanced=balanced,
        seconds=round(took.total_seconds(), 2),
    )


def _statuses(sagas: Iterable[UUID]) -> Iterator[tuple[UUID, str]]:
    ids = list(sagas)
    for start in range(0, len(ids), AT_ONCE):
        chunk = Saga.objects.filter(pk__in=ids[start : start + AT_ONCE])
        yield from chunk.values_list("pk", "status")
