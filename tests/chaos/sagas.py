"""Sagas of every shape, over services of every kind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rest_framework import serializers

from sagas import HALT, Parallel, SagaDefinition, Step, StepContext, SubSaga, WaitForEvent, register
from tests.chaos import handlers, participants  # noqa: F401 - whoever knows the sagas knows them too
from tests.chaos.ledger import Service
from tests.chaos.load import TOPIC
from tests.chaos.steps import BRISK, ONCE, STUBBORN, TIMEOUT, TWICE, local_step, step

EVENT_WITHIN = timedelta(seconds=8)


class ChaosInput(serializers.Serializer[Any]):
    """What is to befall the saga: per call, ``pay`` or ``undo pay``, the fates of its attempts in turn."""

    number = serializers.CharField()
    plan = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    purse = serializers.CharField(default="")
    """What it must have for itself."""


class Chaos(SagaDefinition):
    """What they have in common."""

    input = ChaosInput
    key = "{number}"


@register
class Linear(Chaos):
    """One step after the other."""

    name = "chaos.linear"
    steps = [
        step("reserve", Service.SMART, on_loop=True),
        step("charge", Service.KEYED),
        local_step("pack"),
        step("ship", Service.SMART),
    ]


@register
class SideBySide(Chaos):
    """Three steps at once."""

    name = "chaos.parallel"
    steps = [
        step("open", Service.SMART),
        Parallel(
            step("left", Service.SMART, on_loop=True),
            step("right", Service.KEYED),
            local_step("here"),
        ),
        step("close", Service.SMART, on_loop=True),
    ]


@register
class Doubtful(Chaos):
    """Steps that are tried once: what is not known is undone, or asked for."""

    name = "chaos.doubtful"
    steps = [
        step("first", Service.SMART),
        step("doubted", Service.SMART, retry=ONCE),
        local_step("noted", retry=ONCE),
        step("keyed", Service.KEYED, retry=ONCE),
        step("asked", Service.KEYED, retry=TWICE, probe=True),
    ]


@register
class Decided(Chaos):
    """A pivot that can be asked for."""

    name = "chaos.decided"
    steps = [
        step("hold", Service.SMART),
        step("decide", Service.SMART, undo=False, pivot=True, probe=True, retry=TWICE),
        step("tell", Service.KEYED, undo=False, irrevocable="what was told is known", retry=STUBBORN),
    ]


@register
class Committed(Chaos):
    """A pivot that cannot."""

    name = "chaos.committed"
    steps = [
        step("hold", Service.SMART, on_loop=True),
        step("commit", Service.KEYED, undo=False, pivot=True, retry=ONCE),
        step("deliver", Service.SMART, undo=False, irrevocable="it is theirs", retry=TWICE),
    ]


@register
class Dumb(Chaos):
    """A service that must not be asked twice."""

    name = "chaos.dumb"
    steps = [
        step("first", Service.SMART, on_loop=True),
        step("blind", Service.DUMB),
        step("looked", Service.DUMB, probe=True),
        step("last", Service.KEYED),
    ]


@register
class Atomic(Chaos):
    """A step whose rows commit with its outcome."""

    name = "chaos.atomic"
    steps = [
        step("first", Service.SMART),
        Step(
            participants.writing("write"),
            compensation=participants.erasing("write"),
            atomic=True,
            timeout=TIMEOUT,
            retry=BRISK,
            undo_retry=STUBBORN,
        ),
        step("last", Service.SMART),
    ]


@register
class Waiting(Chaos):
    """Waits for an event, which may not come."""

    name = "chaos.waiting"
    steps = [
        step("first", Service.SMART, on_loop=True),
        WaitForEvent(TOPIC, timeout=EVENT_WITHIN, name="wait"),
        step("last", Service.KEYED),
    ]


@register
class Timid(Chaos):
    """Halts rather than turn back."""

    name = "chaos.timid"
    on_exhausted = HALT
    steps = [
        step("first", Service.KEYED),
        step("often", Service.SMART, retry=TWICE),
    ]


@register
class Locked(Chaos):
    """Has its purse for itself from its first step to its end."""

    name = "chaos.locked"
    locks = ["chaos.purse:{purse}"]
    steps = [
        step("take", Service.SMART),
        step("spend", Service.KEYED),
        step("close_purse", Service.SMART, on_loop=True),
    ]


@register
class Leg(Chaos):
    """A part of another, undone with it."""

    name = "chaos.leg"
    undo_after_completion = True
    steps = [
        step("out", Service.SMART, on_loop=True),
        step("home", Service.KEYED),
    ]


def leg_input(ctx: StepContext) -> dict[str, Any]:
    """Return what its part is started with."""
    return {"number": f"{ctx.input['number']} leg", "plan": ctx.input["plan"]}


@register
class Family(Chaos):
    """Has a part that is a saga."""

    name = "chaos.family"
    steps = [
        step("first", Service.SMART),
        SubSaga(Leg, input=leg_input, name="leg"),
        step("last", Service.KEYED),
    ]
