"""The demonstration, but for its processes."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.core.management import call_command
from django.core.management.base import CommandError

from orders.demo import run, shop, web
from orders.demo.workload import demand, plan_orders
from orders.models import Order, Product
from orders.services import Pattern
from orders.trouble import Trouble
from sagas.models import Saga
from sagas.testing import advance


@pytest.fixture
def development(settings):
    settings.DEBUG = True


@pytest.fixture
def open_shop(db):
    shop.open_shop()


@pytest.fixture
def worker(monkeypatch):
    """Whoever waits for the workers moves the clock and does their work."""
    monkeypatch.setattr(run, "LOOK_EVERY", timedelta(0))
    return lambda: advance(timedelta(seconds=1))


def test_it_is_refused_where_debug_is_off():
    with pytest.raises(CommandError, match="refused with DEBUG=0"):
        call_command("demo")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--exit"], "--orders is 0"),
        (["--orders=-1"], "--orders is -1"),
        (["--orders=5", "--json"], "Add --exit"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(development, arguments, words):
    with pytest.raises(CommandError, match=words):
        call_command("demo", *arguments)


def test_a_port_that_is_taken_is_refused(development):
    with socket.create_server((web.HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} is taken. Choose another with --port."):
            call_command("demo", f"--port={port}")


def test_the_shop_opens_once_and_keeps_its_stock(open_shop):
    Product.objects.filter(sku="cup").update(stock=7)

    shop.open_shop()

    assert Product.objects.get(sku="cup").stock == 7
    assert Product.objects.get(sku="tin").stock == shop.OPENING_STOCK
    assert Product.objects.get(sku=shop.SOLD_OUT).stock == 0


def test_the_operator_signs_in_and_is_made_once(db):
    operator = shop.operator()

    assert shop.operator() == operator
    assert authenticate(username="demo", password="demo") == operator
    assert operator.is_superuser


def test_a_delivery_covers_the_whole_demand_but_for_what_is_never_in_stock(open_shop):
    before = dict(Product.objects.values_list("sku", "stock"))
    wanted = demand(plan_orders(200, 1))
    assert wanted[shop.SOLD_OUT]

    shop.restock_for(wanted)

    for sku, stock in Product.objects.values_list("sku", "stock"):
        assert stock == before[sku] + (wanted[sku] if sku != shop.SOLD_OUT else 0)


@pytest.mark.parametrize("pattern", Pattern)
def test_every_planned_order_ends_as_its_trouble_says_and_the_books_balance(open_shop, worker, pattern):
    plan = plan_orders(30, 1)
    shop.restock_for(demand(plan))

    account, wrong = run.carry_out(plan, by=shop.operator(), look_up=worker, pattern=pattern)

    turned_back = sum(order.kind.turns_back for order in plan)
    assert wrong == []
    assert (account.orders, account.completed, account.compensated) == (30, 30 - turned_back, turned_back)
    assert (account.failed, account.stuck, account.balanced) == (0, 0, True)
    assert account.is_well


def test_orders_of_an_earlier_run_are_brought_to_an_end_too(open_shop, worker):
    plan = plan_orders(4, 1)
    run.place(plan, by=shop.operator())

    account, wrong = run.carry_out(plan_orders(3, 2), by=shop.operator(), look_up=worker)

    assert account.orders == 3
    assert wrong == []
    assert not Order.objects.filter(status__in=["placed", "accepted"]).exists()


def test_what_no_worker_takes_is_stuck_after_a_while(open_shop, monkeypatch):
    monkeypatch.setattr(run, "LOOK_EVERY", timedelta(milliseconds=10))
    for patience in ("PATIENCE", "OTHERS"):
        monkeypatch.setattr(run, patience, timedelta(milliseconds=30))

    account, _wrong = run.carry_out(plan_orders(3, 1), by=shop.operator(), look_up=lambda: None)

    assert (account.completed, account.compensated, account.stuck) == (0, 0, 3)
    assert not account.is_well


def test_a_saga_that_needs_a_person_has_failed_and_is_not_waited_for(open_shop, worker, monkeypatch):
    plan = plan_orders(3, 1)
    monkeypatch.setattr("orders.participants.gateway.refund", _fail_for_good)
    monkeypatch.setattr("orders.participants.carrier.book", _fail_for_good)

    account, wrong = run.carry_out(plan, by=shop.operator(), look_up=worker)

    assert account.failed == sum(order.kind is Trouble.NONE for order in plan)
    assert account.stuck == 0
    assert not account.balanced
    assert wrong
    assert not account.is_well


def _fail_for_good(*args, **kwargs):
    from sagas import PermanentFailure

    raise PermanentFailure("out of business")


def test_an_account_is_told_in_a_sentence():
    account = run.Account(orders=3, completed=2, compensated=1, failed=0, stuck=0, balanced=True, seconds=1.5)

    assert str(account) == (
        "3 orders in 1.5 s: 2 completed, 1 compensated, 0 failed, 0 stuck; the books balance."
    )


def test_sagas_that_are_gone_are_not_waited_for(open_shop, worker):
    placed = run.place(plan_orders(2, 1), by=shop.operator())
    Saga.objects.all().delete()

    run.watch(placed, look_up=worker, patience=timedelta(seconds=5))
