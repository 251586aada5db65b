"""Which orders a demonstration places: the same for the same number and seed, wherever it runs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil

from orders.demo.shop import PRODUCTS, SOLD_OUT
from orders.trouble import Trouble

# A crash takes the other orders of its worker with it and each costs a lease, so it comes less often.
WEIGHTS = {
    trouble: 1 if trouble is Trouble.CRASH_AFTER_CHARGE else 3
    for trouble in Trouble
    if trouble is not Trouble.NONE
}
TURNING_BACK = [trouble for trouble in WEIGHTS if trouble.turns_back]


@dataclass(frozen=True)
class PlannedOrder:
    """One order to be placed, and what will go wrong with it."""

    email: str
    quantities: dict[str, int]
    kind: Trouble
    """What goes wrong."""
    asks: Trouble
    """What it asks to go wrong: nothing, where what it orders is enough."""


def plan_orders(number: int, seed: int) -> list[PlannedOrder]:
    """Plan so many orders: a third goes wrong, and a sixth of all turns back.

    From 20 orders on, each kind of trouble is among them.
    """
    draw = random.Random(seed)
    kinds = [*_troubles(number, draw)]
    kinds += [Trouble.NONE] * (number - len(kinds))
    draw.shuffle(kinds)
    return [_order(index, kind, draw) for index, kind in enumerate(kinds, start=1)]


def demand(orders: Iterable[PlannedOrder]) -> Counter[str]:
    """Count the units that the orders ask for."""
    units: Counter[str] = Counter()
    for order in orders:
        units.update(order.quantities)
    return units


def _troubles(number: int, draw: random.Random) -> Iterator[Trouble]:
    wrong, back = ceil(number / 3), ceil(number / 6)
    if wrong >= len(WEIGHTS):
        yield from WEIGHTS
        wrong -= len(WEIGHTS)
        back -= len(TURNING_BACK)
    back = max(back, 0)
    yield from draw.choices(TURNING_BACK, k=back)
    yield from draw.choices(list(WEIGHTS), list(WEIGHTS.values()), k=wrong - back)


def _order(index: int, kind: Trouble, draw: random.Random) -> PlannedOrder:
    skus = draw.sample(list(PRODUCTS), k=draw.randint(1, 3))
    quantities = {sku: draw.randint(1, 3) for sku in skus}
    asks = kind
    if kind is Trouble.OUT_OF_STOCK and draw.random() < 0.5:
        # As it happens in shops: one line cannot be had, and the others must go back.
        quantities[SOLD_OUT] = 1
        asks = Trouble.NONE
    return PlannedOrder(f"customer{index}@example.com", quantities, kind, asks)
