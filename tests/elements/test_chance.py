"""Whatever is declared and whatever comes back: what the world has of it is what the saga says it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagas import (
    Approval,
    OutcomeUnknown,
    Parallel,
    PermanentFailure,
    RetryLater,
    RetryPolicy,
    Sleep,
    StepContext,
    SubSaga,
    WaitForEvent,
    clock,
    offer,
    start,
)
from sagas.definitions import Element, registry
from sagas.exceptions import OperationRefused
from sagas.models import HistoryKind, Permit, Saga, SemanticLock
from sagas.operations.performing import perform
from sagas.states import AT_WORK
from sagas.testing import advance, run_due
from tests.samples import HOUR, MINUTE, SECOND, OrderInput, Play, definition_of, statuses, step

pytestmark = pytest.mark.django_db

TWICE = RetryPolicy(attempts=2, first_delay=SECOND, jitter=0)
OUTCOMES = ["done", "done", "done", "refused", "busy", "lost on the way there", "lost on the way back"]
UNDONE = ["done", "done", "busy", "lost on the way there", "lost on the way back", "refused"]
KINDS = ["step", "step", "step", "read", "optional", "conditional", "sleep", "event", "approval"]
BESIDE = [kind for kind in KINDS if kind not in ("sleep", "approval")]
"""What may stand beside others."""


@dataclass
class World:
    """A service that knows its keys, and what its callers will hear of it."""

    heard: dict[str, list[str]]
    """By call: what becomes of it, one after the other; then it is done."""
    done: dict[str, str] = field(default_factory=dict)
    """Key to call: what took effect."""
    undone: list[str] = field(default_factory=list)
    barred: set[str] = field(default_factory=set)
    keys: dict[str, set[str]] = field(default_factory=dict)

    def act(self, name: str, ctx: StepContext) -> dict[str, Any]:
        """Have an effect, unless it was undone before."""

        def effect() -> None:
            if ctx.idempotency_key in self.barred:
                raise PermanentFailure("It was undone.")
            self.done.setdefault(ctx.idempotency_key, name)

        self._answer(name, ctx, effect)
        return {"by": name}

    def undo(self, name: str, ctx: StepContext) -> None:
        """Undo what was done, or see to it that it never is."""
        undoes = str(ctx.undoes)

        def effect() -> None:
            if undoes not in self.barred and undoes in self.done:
                self.undone.append(name)
            self.barred.add(undoes)

        self._answer(f"undo {name}", ctx, effect)

    def _answer(self, call: str, ctx: StepContext, effect: Callable[[], None]) -> None:
        self.keys.setdefault(call, set()).add(ctx.idempotency_key)
        coming = self.heard.get(call)
        match coming.pop(0) if coming else "done":
            case "refused":
                raise PermanentFailure("no")
            case "busy":
                raise RetryLater("busy")
            case "lost on the way there":
                raise OutcomeUnknown("no answer")
            case "lost on the way back":
                effect()
                raise OutcomeUnknown("no answer")
            case _:
                effect()


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[list[tuple[str, str]]], dict[str, list[str]], dict[str, bool]]:
    """Stages of elements by kind and name, what calls come to, and what comes of waits and conditions."""
    stages, heard, comes = [], {}, {}
    number = 0
    for width in draw(st.lists(st.integers(1, 3), min_size=1, max_size=4)):
        stage = []
        for _ in range(width):
            kind, name = draw(st.sampled_from(KINDS if width == 1 else BESIDE)), f"e{number}"
            number += 1
            stage.append((kind, name))
            heard[name] = draw(st.lists(st.sampled_from(OUTCOMES), max_size=3))
            heard[f"undo {name}"] = draw(st.lists(st.sampled_from(UNDONE), max_size=2))
            comes[name] = draw(st.booleans()) or draw(st.booleans())
        stages.append(stage)
    return stages, heard, comes


def element(kind: str, name: str, comes: bool) -> Element:
    match kind:
        case "sleep":
            return Sleep(MINUTE, name=name)
        case "event":
            return WaitForEvent("told", correlate="{order_id}:" + name, timeout=HOUR, name=name)
        case "approval":
            return Approval("sagas.approve", timeout=HOUR, name=name)
        case "read":
            return step(name, read_only=True, retry=TWICE)
        case "optional":
            return step(name, optional=True, retry=TWICE, undo_retry=TWICE)
        case "conditional":
            return step(name, when=lambda ctx: comes, retry=TWICE, undo_retry=TWICE)
        case _:
            return step(name, retry=TWICE, undo_retry=TWICE)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=stories(), is_nested=st.booleans(), cancelled=st.booleans())
def test_the_saga_says_what_is_so(play: Play, story, is_nested: bool, cancelled: bool) -> None:
    stages, heard, comes = story
    with transaction.atomic():
        try:
            _play_and_check(play, stages, heard, comes, is_nested, cancelled)
        finally:
            transaction.set_rollback(True)
            clock.reset()
            for name in ("samples.trip", "samples.inner"):
                if name in registry:
                    registry.remove(registry.named(name))


def _play_and_check(play, stages, heard, comes, is_nested, cancelled) -> None:
    world = World({call: list(answers) for call, answers in heard.items()})
    elements = [[element(kind, name, comes[name]) for kind, name in stage] for stage in stages]
    for stage in stages:
        for _kind, name in stage:
            play.always(name, partial(world.act, name))
            play.always(f"undo {name}", partial(world.undo, name))
    parts = [Parallel(*stage) if len(stage) > 1 else stage[0] for stage in elements]
    if is_nested:
        inner = definition_of(*parts, name="samples.inner", input=OrderInput, undo_after_completion=True)
        registry.add(inner)
        parts = [SubSaga(inner, input=lambda ctx: ctx.input, name="inner"), step("last", retry=TWICE)]
        play.always("last", partial(world.act, "last"))
        play.always("undo last", partial(world.undo, "last"))
    definition = definition_of(*parts, input=OrderInput)
    registry.add(definition)

    saga = start(definition, {"order_id": "7"})
    for stage in stages:
        for kind, name in stage:
            if kind == "event" and comes[name]:
                offer("told", {}, key=f"7:{name}")
    run_due()
    _decide(stages, comes)
    if cancelled:
        with suppress(OperationRefused):  # It may have ended, or gone back already.
            perform(saga.pk, "compensate", by="a client")
    for _ in range(8):
        advance(HOUR)
        _decide(stages, comes)

    saga.refresh_from_db()
    family = [saga, *Saga.objects.filter(parent=saga)]
    needs_person = [each for each in family if each.status == "failed"]
    assert all(each.attention for each in needs_person)
    # A parent waits for a child that waits for a person.
    assert needs_person or not [each for each in family if each.status in AT_WORK], statuses(saga)
    assert all(len(keys) == 1 for keys in world.keys.values())
    assert not [call for call, number in Counter(world.undone).items() if number > 1]
    left = set(world.done.values()) - set(world.undone)
    stage_of = {name: number for number, stage in enumerate(stages) for _kind, name in stage} | {"last": 99}
    kinds = {name: kind for stage in stages for kind, name in stage}
    if saga.status == "completed":
        wanted = {name for name, kind in kinds.items() if kind in ("step", "read")}
        wanted |= {name for name, kind in kinds.items() if kind == "conditional" and comes[name]}
        assert wanted <= left
        assert {kinds.get(name) for name in world.undone} <= {"optional"}
    elif saga.status == "compensated":
        assert {kinds.get(name) for name in left} <= {"read"}
        order = [stage_of[name] for name in world.undone if kinds.get(name) != "optional"]
        assert order == sorted(order, reverse=True)
    else:
        assert needs_person
    _check_rows(family)


def _decide(stages, comes) -> None:
    """Have somebody decide what waits for a decision, where anybody will."""
    for stage in stages:
        for kind, name in stage:
            if kind == "approval" and comes[name]:
                for waiting in Saga.objects.filter(steps__name=name, steps__waits_for="approval"):
                    with suppress(OperationRefused):
                        perform(waiting.pk, "approve", by="an operator", step=name)
    run_due()


def _check_rows(family: list[Saga]) -> None:
    assert not Permit.objects.exists()
    assert not SemanticLock.objects.exists()
    for saga in family:
        if saga.ended_at is not None:
            assert not saga.steps.filter(status__in=("running", "waiting", "compensating")).exists()
        told = saga.history.filter(kind__in=(HistoryKind.STATUS, HistoryKind.ACT)).exclude(to_status="")
        path = list(told.order_by("id").values_list("from_status", "to_status"))
        assert [before for before, _after in path[1:]] == [after for _before, after in path[:-1]]
        assert not path or path[-1][1] == saga.status
