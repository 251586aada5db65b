"""The measured sagas: three steps each, with compensations, which do next to nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from rest_framework import serializers

from benchmarks.capabilities import HAS_ATOMIC_STEPS
from benchmarks.models import Effect
from sagas import Event, SagaDefinition, Step, StepContext, publish, register, subscribe

STEPS = 3


class Nothing(serializers.Serializer[Any]):
    """An input without fields."""


async def act_async(ctx: StepContext) -> dict[str, Any]:
    return {"x": 1}


async def undo_async(ctx: StepContext) -> None:
    pass


def act_sync(ctx: StepContext) -> dict[str, Any]:
    return {"x": 1}


def undo_sync(ctx: StepContext) -> None:
    pass


def write(ctx: StepContext) -> dict[str, Any]:
    Effect.objects.create(key=str(ctx.idempotency_key))
    return {"x": 1}


def unwrite(ctx: StepContext) -> None:
    Effect.objects.filter(key=str(ctx.undoes)).delete()


async def wait(ctx: StepContext) -> dict[str, Any]:
    await asyncio.sleep(1)
    return {"x": 1}


@register
class AsyncSteps(SagaDefinition):
    """Async steps that return at once."""

    name = "benchmarks.async"
    input = Nothing
    steps = [Step(act_async, compensation=undo_async, name=f"step_{n}") for n in range(STEPS)]


@register
class SyncSteps(SagaDefinition):
    """Steps that return at once, in threads."""

    name = "benchmarks.sync"
    input = Nothing
    steps = [Step(act_sync, compensation=undo_sync, name=f"step_{n}") for n in range(STEPS)]


@register
class WaitingSteps(SagaDefinition):
    """Async steps that wait for something outside, a second each."""

    name = "benchmarks.io"
    input = Nothing
    steps = [Step(wait, compensation=undo_async, name=f"step_{n}") for n in range(STEPS)]


if HAS_ATOMIC_STEPS:
    _atomic: dict[str, Any] = {"atomic": True}

    @register
    class AtomicSteps(SagaDefinition):
        """Steps that write a row each, in the transaction that records them as done."""

        name = "benchmarks.atomic"
        input = Nothing
        steps = [Step(write, compensation=unwrite, name=f"step_{n}", **_atomic) for n in range(STEPS)]


@subscribe("measured", name="benchmarks.nothing")
def do_nothing(event: Event) -> None:
    """Handle an event at once."""


@subscribe("measured.first", name="benchmarks.next")
def lead_to_another(event: Event) -> None:
    """Publish an event more."""
    publish(Event("measured"))
