"""Sagas to test with: their steps note each call and answer it as the test says.

`define` makes and registers a definition for one test, `step` a step of it by name, and `play` is where the
test says what the steps come to and reads what was called: ``"pay"`` is the action of that step,
``"undo pay"`` its compensation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol, TypeAlias

import pytest
from django.db import connection
from rest_framework import serializers

from sagas import Parallel, Participant, RetryPolicy, SagaDefinition, Step, StepContext
from sagas.definitions import Element, registry
from sagas.models import HistoryEntry, Saga

sqlite_only = pytest.mark.skipif(connection.vendor != "sqlite", reason="is about SQLite")
postgresql_only = pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL")

Answer: TypeAlias = (
    Mapping[str, Any] | BaseException | type[BaseException] | Callable[[StepContext], Any] | None
)
"""What a call comes to: a result, an error, or whatever a function of the context makes of it."""

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

ONCE = RetryPolicy(attempts=1)
STEADY = RetryPolicy(attempts=3, first_delay=10 * SECOND, factor=1, jitter=0)
"""3 attempts, 10 seconds apart to the microsecond."""

BANK = Participant("bank", resend=HOUR, max_inflight=MINUTE)
"""Forgets keys after an hour; its calls take effect within a minute or not at all."""


class Nothing(serializers.Serializer[Any]):
    """An input without fields."""


class OrderInput(serializers.Serializer[Any]):
    """An input that is worth checking."""

    order_id = serializers.CharField(max_length=250)
    amount = serializers.DecimalField(max_digits=8, decimal_places=2, default=Decimal("1.00"))


class Play:
    """What the steps are to come to, and what was asked of them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.contexts: defaultdict[str, list[StepContext]] = defaultdict(list)
        self._next: dict[str, list[Answer]] = {}
        self._always: dict[str, Answer] = {}

    def says(self, call: str, *answers: Answer) -> None:
        """Answer the next calls so, one after the other, and those after them as usual."""
        self._next.setdefault(call, []).extend(answers)

    def always(self, call: str, answer: Answer) -> None:
        """Answer every call so."""
        self._always[call] = answer

    def context(self, call: str) -> StepContext:
        """Return what the latest such call was given."""
        return self.contexts[call][-1]

    def perform(self, call: str, ctx: StepContext) -> Any:
        """Note a call and answer it."""
        self.calls.append(call)
        self.contexts[call].append(ctx)
        waiting = self._next.get(call)
        answer = waiting.pop(0) if waiting else self._always.get(call)
        if isinstance(answer, BaseException | type):
            raise answer
        return answer(ctx) if callable(answer) else answer


_play = Play()


@pytest.fixture
def play() -> Iterator[Play]:
    """What the steps of this test do and did."""
    global _play
    _play = Play()
    yield _play
    _play = Play()


def step(name: str, /, *, undo: bool | None = None, asynchronous: bool = False, **options: Any) -> Step:
    """Return a step that plays. Unless something else is said of it, it has a compensation."""
    if undo is None:
        undo = not options.keys() & {"read_only", "irrevocable", "pivot"}
    return Step(
        _function(name, name, asynchronous),
        compensation=_function(f"undo {name}", f"undo_{name}", asynchronous) if undo else None,
        **options,
    )


class Define(Protocol):
    """Makes and registers a definition; the same name makes a newer form of the same definition."""

    def __call__(
        self, *elements: Element | Parallel, name: str = ..., **attributes: Any
    ) -> type[SagaDefinition]: ...


@pytest.fixture
def define(play: Play) -> Iterator[Define]:
    """Definitions for one test."""
    made: list[type[SagaDefinition]] = []

    def make(
        *elements: Element | Parallel, name: str = "samples.trip", **attributes: Any
    ) -> type[SagaDefinition]:
        definition = definition_of(*elements, name=name, **attributes)
        registry.add(definition)
        made.append(definition)
        return definition

    yield make
    for definition in made:
        registry.remove(definition)


def definition_of(
    *elements: Element | Parallel, name: str = "samples.trip", **attributes: Any
) -> type[SagaDefinition]:
    """Return a definition without registering it."""
    body: dict[str, Any] = (
        {"name": name, "input": Nothing, "steps": elements} | attributes | {"__module__": __name__}
    )
    class_name = "".join(word.title() for word in name.replace(".", "_").split("_"))
    return type(class_name, (SagaDefinition,), body)


def statuses(saga: Saga) -> dict[str, str]:
    """Where each step of a saga stands."""
    return dict(saga.steps.order_by("stage", "id").values_list("name", "status"))


def history(saga: Saga, *kinds: str) -> list[HistoryEntry]:
    """What is told of a saga, or what of these kinds."""
    entries = saga.history.filter(kind__in=kinds) if kinds else saga.history.all()
    return list(entries.order_by("id"))


def _function(call: str, name: str, asynchronous: bool) -> Callable[[StepContext], Any]:
    def act(ctx: StepContext) -> Any:
        return _play.perform(call, ctx)

    async def act_on_the_loop(ctx: StepContext) -> Any:
        came_to = _play.perform(call, ctx)
        return await came_to if hasattr(came_to, "__await__") else came_to

    function: Callable[[StepContext], Any] = act_on_the_loop if asynchronous else act
    function.__name__ = function.__qualname__ = name
    return function
