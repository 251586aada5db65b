"""Sagas over the world's services."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

from rest_framework import serializers

from sagas import Parallel, RetryLater, SagaDefinition, Step, StepContext, register
from tests.world.ledger import Ledger


class TripInput(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    seconds = serializers.FloatField(default=0)
    """How long the hotel keeps its callers waiting,"""
    waits = serializers.IntegerField(default=1)
    """and how many of them."""


def book_flight(ctx: StepContext) -> dict[str, Any]:
    Ledger.of_environment().call("flight", ctx.saga_id, ctx.idempotency_key)
    return {"flight": ctx.input["number"]}


def cancel_flight(ctx: StepContext) -> None:
    assert ctx.undoes is not None
    Ledger.of_environment().call("cancel flight", ctx.saga_id, ctx.undoes)


def book_hotel(ctx: StepContext) -> dict[str, Any]:
    """Takes effect, and then keeps the caller waiting: whoever dies meanwhile does not know what it did."""
    ledger = Ledger.of_environment()
    ledger.call("hotel", ctx.saga_id, ctx.idempotency_key)
    if len(ledger.calls(what="hotel", saga=str(ctx.saga_id))) <= ctx.input["waits"]:
        time.sleep(ctx.input["seconds"])
    return {"hotel": ctx.results["book_flight"]["flight"]}


async def book_car(ctx: StepContext) -> dict[str, Any]:
    Ledger.of_environment().call("car", ctx.saga_id, ctx.idempotency_key)
    await asyncio.sleep(0)
    return {"car": 1}


async def give_back(ctx: StepContext) -> None:
    assert ctx.undoes is not None
    Ledger.of_environment().call("give back", ctx.saga_id, ctx.undoes)


@register
class Trip(SagaDefinition):
    """Book a flight, and then hotel and car side by side."""

    name = "world.trip"
    input = TripInput
    key = "trip:{number}"
    steps = [
        Step(book_flight, compensation=cancel_flight),
        Parallel(
            Step(book_hotel, compensation=give_back, name="book_hotel"),
            Step(book_car, compensation=give_back),
        ),
    ]


class PatienceInput(serializers.Serializer[Any]):
    number = serializers.IntegerField()


def ask_again_later(ctx: StepContext) -> None:
    Ledger.of_environment().call(f"ask {ctx.attempt}", ctx.saga_id, ctx.idempotency_key)
    if ctx.attempt == 1:
        raise RetryLater("busy", delay=timedelta(seconds=3))


@register
class Patience(SagaDefinition):
    """Ask once, be sent away, and come back at the time given."""

    name = "world.patience"
    input = PatienceInput
    steps = [Step(ask_again_later, read_only=True)]
