"""What is played up to each crash: a script of what clients and operators ask for, and how it may end.

Whoever got no answer asks again, so a script may be played again from any point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from django.contrib.auth.models import Group

from sagas import (
    HALT,
    Approval,
    Choreography,
    Event,
    Participant,
    PermanentFailure,
    RetryLater,
    SagaDefinition,
    Sleep,
    StepContext,
    SubSaga,
    WaitForEvent,
    idempotent,
    offer,
    publish,
    start,
    start_many,
    subscribe,
)
from sagas.choreography import deliveries
from sagas.choreography.arrivals import arrive
from sagas.choreography.handling import give_up
from sagas.definitions import Element, subscriptions
from sagas.engine.heartbeat import renew
from sagas.engine.recovery import give_back, recover
from sagas.engine.runner import Runner
from sagas.exceptions import DuplicateKey, OperationRefused, OutcomeUnknown
from sagas.keys import case_id
from sagas.models import Hold, InboxMessage, InboxStatus, Saga
from sagas.operations.holding import hold, release
from sagas.operations.letters import requeue, resolve
from sagas.operations.performing import perform
from sagas.participants import effect_once, undo_once
from sagas.testing import advance, run_due
from tests.crashes.boundaries import Boundaries
from tests.crashes.world import World
from tests.engine.hands import LEASE, Hand
from tests.samples import HOUR, MINUTE, STEADY, Define, OrderInput, Play, step

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

    def rehearse(self, stage: Stage, play: Play) -> None:
        """Have the steps of this process play their parts on this stage, and others too."""
        self.others(stage)
        for name in "abc":
            play.always(name, partial(self.answers.get(name, partial(Stage.act, name=name)), stage))
            undo = f"undo {name}"
            play.always(undo, partial(self.answers.get(undo, partial(Stage.undo, name=name)), stage))

    def __str__(self) -> str:
        return self.name


def _refused(stage: Stage, ctx: StepContext) -> None:
    raise PermanentFailure("The world says no.")


def _answered_at_second_try(name: str) -> Answer:
    def answer(stage: Stage, ctx: StepContext) -> dict[str, Any]:
        was_asked = stage.has_asked(ctx.saga_id, name)
        done = stage.act(ctx, name)
        if not was_asked:
            raise TimeoutError("No answer came.")
        return done

    return answer


def _undone_at_second_try(stage: Stage, ctx: StepContext) -> None:
    if ctx.attempt == 1:
        raise RetryLater("busy")
    stage.undo(ctx, "a")


def _refused_until_retried(stage: Stage, ctx: StepContext) -> dict[str, Any]:
    if not stage.has_asked("note", "an operator has looked"):
        raise RetryLater("Somebody has to look.")
    return stage.act(ctx, "b")


def _written(stage: Stage, ctx: StepContext) -> dict[str, Any]:
    Group.objects.create(name=f"b of {ctx.saga_id}")
    return {"written": True}


def _had_in_this_database(stage: Stage, ctx: StepContext) -> dict[str, Any]:
    idempotent(f"{stage.run} {ctx.idempotency_key}", lambda: {"seen": True})
    return effect_once(ctx.idempotency_key, lambda: stage.act(ctx, "a"))


def _undone_in_this_database(stage: Stage, ctx: StepContext) -> None:
    assert ctx.undoes is not None
    undo_once(ctx.undoes, lambda result: stage.undo(ctx, "a"))


def _plain(*elements: Element, **attributes: Any) -> Callable[[Define], type[SagaDefinition]]:
    return lambda define: define(
        *(elements or (step("a"), step("b"), step("c"))), input=OrderInput, **attributes
    )


def _with_child(define: Define) -> type[SagaDefinition]:
    child = define(step("b"), name="samples.leg", input=OrderInput, undo_after_completion=True)
    leg = SubSaga(child, input=lambda ctx: ctx.input, name="leg")
    return define(step("a"), leg, step("c"), input=OrderInput)


def _run(stage: Stage) -> None:
    stage.start()
    run_due()


def _run_and_wait(stage: Stage) -> None:
    _run(stage)
    advance(2 * MINUTE)


def _hosted(stage: Stage) -> None:
    stage.start()
    Runner(linger=timedelta(0), budget=2 * MINUTE).run()


def _cancel(stage: Stage) -> None:
    saga = stage.start()
    run_due()
    stage.operate(saga, "compensate")
    run_due()


def _cancel_from_outside(stage: Stage) -> None:
    """A saga that a worker holds is asked to turn back, and the worker beats meanwhile."""
    hand = Hand()
    saga = stage.start()
    attempts = hand.take()
    for attempt in attempts:
        attempt.held.renewable_until = monotonic() + MINUTE.total_seconds()
    renew(hand.id, [attempt.held for attempt in attempts], lease=LEASE)
    stage.operate(saga, "compensate")
    while attempts:
        attempts = hand.settle(*hand.call(attempts)).attempts
    run_due()


def _suspend_and_resume(stage: Stage) -> None:
    saga = stage.start()
    stage.operate(saga, "suspend")
    run_due()
    stage.operate(saga, "resume")
    run_due()


def _retry(stage: Stage) -> None:
    saga = stage.start()
    run_due()
    advance(MINUTE)
    if not stage.has_asked("note", "an operator has looked"):
        stage.world.do("note", "an operator has looked", f"note {stage.run}")
    stage.operate(saga, "retry")
    run_due()


def _offer(stage: Stage) -> None:
    stage.start()
    run_due()
    stage.tell("paid")
    run_due()


def _offer_early_and_recover(stage: Stage) -> None:
    stage.tell("paid")
    stage.start()
    recover()
    run_due()


def _offer_too_late(stage: Stage) -> None:
    _run_and_wait(stage)
    stage.tell("paid")
    run_due()


def _approve(stage: Stage) -> None:
    saga = stage.start()
    run_due()
    stage.operate(saga, "approve", step="approve")
    run_due()


def _hold(stage: Stage) -> None:
    hold(definition=stage.definition.name, by=OPERATOR)
    stage.start()
    run_due()
    for each in Hold.objects.all():
        release(each, by=OPERATOR)
    run_due()


def _two_at_once(stage: Stage) -> None:
    stage.start(0)
    stage.start(1)
    run_due()
    advance(2 * MINUTE)


def _many(stage: Stage) -> None:
    with suppress(DuplicateKey):
        start_many(stage.definition, [{"order_id": f"{stage.run} {nth}"} for nth in range(2)], by=CLIENT)
    run_due()


def _started_by_an_event(stage: Stage) -> None:
    """An event starts it, once an operator has had it delivered again."""

    looked = f"an operator has looked at {stage.run}"

    def handle(event: Event) -> None:
        if not stage.has_asked("note", looked):
            raise PermanentFailure("Somebody has to look.")
        stage.start()

    subscribe("ordered", name="tests.crashes")(handle)
    try:
        publish(Event("ordered", {}, key=stage.run, id=uuid5(NAMESPACE_URL, f"{stage.run} ordered")))
        run_due()
        advance(MINUTE)
        if not stage.has_asked("note", looked):
            stage.world.do("note", looked, f"note {stage.run}")
        for letter in InboxMessage.objects.filter(status=InboxStatus.DEAD, key=stage.run):
            requeue(letter.pk, by=OPERATOR)
        run_due()
    finally:
        subscriptions.remove("tests.crashes")


ORDERED, RESERVED, CHARGED, CLOSED = "crash.ordered", "crash.reserved", "crash.charged", "crash.closed"
RELEASE, REFUND = "crash.release", "crash.refund"
WRITING = (ORDERED, CHARGED, RELEASE)
"""Whoever hears of these writes a row, named after the topic; the others ask the world."""


def _handlers(stage: Stage) -> None:
    """Events carry a case on: a handler that writes, one that asks the world, another that writes."""
    case = case_id(stage.run)

    def write(event: Event) -> None:
        Group.objects.create(name=f"{event.topic} {stage.run} {uuid4()}")
        if event.topic == CHARGED and event.data["refuses"]:
            raise PermanentFailure("The world says no.")
        if tells := {ORDERED: RESERVED, CHARGED: CLOSED}.get(event.topic):
            publish(Event(tells, event.data, event.key))

    def charge(event: Event) -> None:
        key = str(event.id)
        stage.boundaries.passes("a call of a step", lambda: stage.world.do(case, "b", key))
        publish(Event(CHARGED, {**event.data, "key": key}, event.key))

    def refund(event: Event) -> None:
        stage.boundaries.passes(
            "a call of a compensation",
            lambda: stage.world.undo(case, "b", str(event.id), event.data["key"]),
        )

    subscribe(ORDERED, name=ORDERED)(write)
    subscribe(RESERVED, name=RESERVED, atomic=False)(charge)
    subscribe(CHARGED, name=CHARGED)(write)
    subscribe(RELEASE, name=RELEASE, undoes=RESERVED)(write)
    subscribe(REFUND, name=REFUND, undoes=CHARGED, atomic=False)(refund)
    Choreography("crash", starts=ORDERED, ends=CLOSED)


def _arrive(stage: Stage, *, refuses: bool) -> None:
    arrive(
        {
            "id": f"{stage.run} ordered",
            "source": "/crashes",
            "type": ORDERED,
            "subject": stage.run,
            "correlationid": stage.run,
            "data": {"order_id": stage.run, "refuses": refuses},
        }
    )


def _carried_by_events(stage: Stage) -> None:
    """The first delivery takes too long, and is given up."""
    worker = uuid4()
    _arrive(stage, refuses=False)
    for delivery in deliveries.claim(worker, limit=1, lease=LEASE).deliveries:
        give_up(delivery, worker, OutcomeUnknown("It did not return."))
    advance(MINUTE)


def _case_is_undone(stage: Stage) -> None:
    """A handler refuses, and an operator has the case undone."""
    with stage.boundaries.passed_over():
        _arrive(stage, refuses=True)
        run_due()
    stage.operate(Saga.objects.get(pk=case_id(stage.run)), "compensate")
    advance(MINUTE)
    for letter in InboxMessage.objects.filter(status=InboxStatus.DEAD, correlation_id=stage.run):
        resolve(letter.pk, by=OPERATOR, reason="It is undone.")


def _worker_is_found_dead(stage: Stage) -> None:
    hand = Hand()
    stage.start()
    hand.take()
    give_back([hand.id])
    run_due()
    advance(2 * MINUTE)


SCENARIOS = [
    Scenario("it completes", _plain(), _run),
    Scenario("it turns back", _plain(), _run, {"c": _refused}, TURNED_BACK),
    Scenario(
        "an answer is lost",
        _plain(step("a"), step("b", retry=STEADY), step("c")),
        _run_and_wait,
        {"b": _answered_at_second_try("b")},
    ),
    Scenario(
        "a compensation is busy",
        _plain(step("a", undo_retry=STEADY), step("b"), step("c")),
        _run_and_wait,
        {"c": _refused, "undo a": _undone_at_second_try},
        TURNED_BACK,
    ),
    Scenario(
        "a client cancels",
        _plain(step("a"), Sleep(MINUTE, name="rest"), step("b")),
        _cancel,
        ends=EITHER,
    ),
    Scenario(
        "it is cancelled while at work",
        _plain(step("a"), step("b")),
        _cancel_from_outside,
        ends=EITHER,
    ),
    Scenario("it is suspended and resumed", _plain(step("a"), step("b")), _suspend_and_resume),
    Scenario(
        "an operator retries",
        _plain(step("a"), step("b", retry=STEADY, on_exhausted=HALT), step("c")),
        _retry,
        {"b": _refused_until_retried},
    ),
    Scenario(
        "an event comes",
        _plain(step("a"), WaitForEvent("paid", correlate="{order_id}", timeout=HOUR, name="wait"), step("b")),
        _offer,
    ),
    Scenario(
        "an event came before",
        _plain(step("a"), WaitForEvent("paid", correlate="{order_id}", timeout=HOUR, name="wait"), step("b")),
        _offer_early_and_recover,
    ),
    Scenario(
        "an event comes too late",
        _plain(
            step("a"),
            WaitForEvent("paid", correlate="{order_id}", timeout=MINUTE, name="wait", pivot=True),
            step("b", undo=False),
        ),
        _offer_too_late,
        ends=EITHER,
    ),
    Scenario(
        "it is approved",
        _plain(step("a"), Approval("sagas.approve", timeout=HOUR, name="approve"), step("b")),
        _approve,
    ),
    Scenario("it is held", _plain(step("a"), step("b")), _hold),
    Scenario("a part is a saga", _with_child, _run),
    Scenario("a part is a saga and turns back", _with_child, _run, {"c": _refused}, TURNED_BACK),
    Scenario("two want one thing", _plain(step("a"), step("b"), locks=["order:{order_id}"]), _two_at_once),
    Scenario(
        "two share a narrow way",
        _plain(step("a", participant=NARROW), step("b"), max_running=1),
        _two_at_once,
    ),
    Scenario("many are started", _plain(step("a"), step("b"), key="{order_id}"), _many),
    Scenario("an event starts it", _plain(step("a"), step("b")), _started_by_an_event),
    Scenario("its worker is found dead", _plain(step("a"), step("b")), _worker_is_found_dead),
    Scenario("events carry it", _plain(step("a")), _carried_by_events, others=_handlers, asking=("b",)),
    Scenario(
        "a case is undone",
        _plain(step("a")),
        _case_is_undone,
        ends=TURNED_BACK,
        others=_handlers,
        asking=("b",),
    ),
    Scenario(
        "effects are in this database",
        _plain(step("a"), step("b"), step("c")),
        _run,
        {"a": _had_in_this_database, "undo a": _undone_in_this_database, "c": _refused},
        TURNED_BACK,
    ),
    Scenario(
        "a runner hosts it",
        _plain(step("a"), step("b", atomic=True), step("c", asynchronous=True)),
        _hosted,
        {"b": _written},
    ),
]
