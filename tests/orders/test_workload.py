"""Which orders a demonstration places."""

from __future__ import annotations

from collections import Counter
from math import ceil

import pytest

from orders.demo.shop import SOLD_OUT
from orders.demo.workload import demand, plan_orders
from orders.trouble import Trouble

SEEDS = range(1, 21)


def test_the_same_number_and_seed_plan_the_same_orders():
    assert plan_orders(60, 1) == plan_orders(60, 1)
    assert plan_orders(60, 1) != plan_orders(60, 2)


@pytest.mark.parametrize("number", [1, 2, 3, 7, 19, 20, 60, 200])
def test_a_third_goes_wrong_and_a_sixth_turns_back(number):
    for seed in SEEDS:
        kinds = Counter(order.kind for order in plan_orders(number, seed))
        wrong = number - kinds[Trouble.NONE]
        assert kinds.total() == number
        assert wrong == ceil(number / 3)
        assert sum(kinds[kind] for kind in kinds if kind.turns_back) >= number / 6


@pytest.mark.parametrize("number", [20, 60, 200])
def test_from_20_orders_on_each_kind_of_trouble_is_there(number):
    for seed in SEEDS:
        assert {order.kind for order in plan_orders(number, seed)} == set(Trouble)


def test_an_order_runs_out_of_stock_by_asking_for_it_or_by_what_it_orders():
    lacking = [order for order in plan_orders(600, 1) if order.kind is Trouble.OUT_OF_STOCK]

    assert {order.asks for order in lacking} == {Trouble.OUT_OF_STOCK, Trouble.NONE}
    for order in lacking:
        assert (SOLD_OUT in order.quantities) == (order.asks is Trouble.NONE)


def test_no_other_order_asks_for_what_is_always_sold_out():
    for order in plan_orders(600, 2):
        assert SOLD_OUT not in order.quantities or order.kind is Trouble.OUT_OF_STOCK


def test_demand_is_the_sum_of_all_orders():
    orders = plan_orders(30, 3)

    assert demand(orders).total() == sum(sum(order.quantities.values()) for order in orders)
