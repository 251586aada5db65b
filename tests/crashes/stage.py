"""What a scenario is, and the stage that it is played on.

Whoever got no answer asks again, so a script may be played again from any point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from sagas import Participant, PermanentFailure, SagaDefinition, StepContext, offer, start
from sagas.definitions import Element
from sagas.exceptions import OperationRefused
from sagas.models import Saga
from sagas.operations.performing import perform
from sagas.testing import run_due
from tests.crashes.boundaries import Boundaries
from tests.crashes.world import World
from tests.samples import Define, OrderInput, Play, step

CLIENT = "a client"
OPERATOR = "an operator"
NARROW = Participant("narrow", limit=1)

DONE = frozenset({"completed"})
TURNED_BACK = frozenset({"compensated"})
EITHER = DONE | TURNED_BACK


@dataclass
class Stage:
    """One performance of a scenario, by whichever process."""

    definition: type[SagaDefinition]
    world: World
    boundaries: Boundaries
    run: str = field(default_factory=lambda: str(uuid4()))

    def start(self, nth: int = 0) -> Saga:
        """Start a saga of this performance, or be given it."""
        return start(self.definition, {"order_id": self.run}, idempotency_key=f"{self.run} {nth}", by=CLIENT)

    def operate(self, saga: Saga, operation: str, **arguments: Any) -> None:
        """Ask for an operation; that it was done before, or comes too late, is no matter."""
        with suppress(OperationRefused):
            perform(saga.pk, operation, by=OPERATOR, reason="The plan says so.", **arguments)

    def tell(self, topic: str) -> None:
        """Tell of an event, the same one each time."""
        offer(topic, {"run": self.run}, key=self.run, id=uuid5(NAMESPACE_URL, self.run + topic))

    def has_asked(self, saga_id: object, name: str) -> bool:
        """Say whether a step has asked the world before."""
        return any((line.saga, line.step) == (str(saga_id), name) for line in self.world.lines())

    @property
    def was_looked_at(self) -> bool:
        """Whether an operator has looked at this performance."""
        return self.has_asked("note", f"an operator has looked at {self.run}")

    def look(self) -> None:
        """Look at it, as an operator who sees to what it calls for."""
        if not self.was_looked_at:
            self.world.do("note", f"an operator has looked at {self.run}", f"note {self.run}")

    def act(self, ctx: StepContext, name: str) -> dict[str, Any]:
        """What a step does."""
        self.boundaries.passes(
            "a call of a step", lambda: self.world.do(ctx.saga_id, name, ctx.idempotency_key)
        )
        return {"done": name, "run": self.run}

    def undo(self, ctx: StepContext, name: str) -> None:
        """What its compensation does."""
        assert ctx.undoes is not None
        undoes = ctx.undoes
        self.boundaries.passes(
            "a call of a compensation",
            lambda: self.world.undo(ctx.saga_id, name, ctx.idempotency_key, undoes),
        )


Answer = Callable[[Stage, StepContext], Any]


@dataclass(frozen=True)
class Scenario:
    """A definition, what its steps come to where that is not success, a script, and the ends it may have."""

    name: str
    definition: Callable[[Define], type[SagaDefinition]]
    script: Callable[[Stage], object]
    answers: Mapping[str, Answer] = field(default_factory=dict)
    ends: frozenset[str] = DONE
    others: Callable[[Stage], None] = lambda stage: None
    """Has those take part who are no steps."""
    asking: tuple[str, ...] | None = None
    """What the world is asked for in all; unless it is told, the steps."""
    seen_to: bool = False
    """Whether the script sees to what a saga calls for that has ended."""

    def rehearse(self, stage: Stage, play: Play) -> None:
        """Have the steps of this process play their parts on this stage, and others too."""
        self.others(stage)
        for name in "abc":
            play.always(name, partial(self.answers.get(name, partial(Stage.act, name=name)), stage))
            undo = f"undo {name}"
            play.always(undo, partial(self.answers.get(undo, partial(Stage.undo, name=name)), stage))

    def __str__(self) -> str:
        return self.name


def refused(stage: Stage, ctx: StepContext) -> None:
    raise PermanentFailure("The world says no.")


def plain(*elements: Element, **attributes: Any) -> Callable[[Define], type[SagaDefinition]]:
    return lambda define: define(
        *(elements or (step("a"), step("b"), step("c"))), input=OrderInput, **attributes
    )


def run(stage: Stage) -> None:
    stage.start()
    run_due()
