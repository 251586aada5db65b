"""What is played up to each crash: what comes of sagas by themselves, and of events."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from django.contrib.auth.models import Group

from sagas import (
    Choreography,
    Event,
    PermanentFailure,
    RetryLater,
    SagaDefinition,
    StepContext,
    SubSaga,
    WaitForEvent,
    idempotent,
    publish,
    start_many,
    subscribe,
)
from sagas.choreography import deliveries
from sagas.choreography.arrivals import arrive
from sagas.choreography.handling import give_up
from sagas.definitions import subscriptions
from sagas.engine.recovery import give_back, recover
from sagas.engine.runner import Runner
from sagas.exceptions import AnswerRefused, DuplicateKey, LetterRefused, OutcomeUnknown
from sagas.keys import case_id
from sagas.models import InboxMessage, InboxStatus, Saga
from sagas.operations import letters
from sagas.operations.answering import answer
from sagas.participants import effect_once, undo_once
from sagas.testing import advance, run_due
from tests.crashes.stage import (
    CLIENT,
    EITHER,
    NARROW,
    OPERATOR,
    TURNED_BACK,
    Answer,
    Scenario,
    Stage,
    plain,
    refused,
    run,
)
from tests.engine.hands import LEASE, Hand
from tests.samples import HOUR, MINUTE, STEADY, Define, OrderInput, step


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


def _written(stage: Stage, ctx: StepContext) -> dict[str, Any]:
    Group.objects.create(name=f"b of {ctx.saga_id}")
    return {"written": True}


def _had_in_this_database(stage: Stage, ctx: StepContext) -> dict[str, Any]:
    idempotent(f"{stage.run} {ctx.idempotency_key}", lambda: {"seen": True})
    return effect_once(ctx.idempotency_key, lambda: stage.act(ctx, "a"))


def _undone_in_this_database(stage: Stage, ctx: StepContext) -> None:
    assert ctx.undoes is not None
    undo_once(ctx.undoes, lambda result: stage.undo(ctx, "a"))


def _with_child(define: Define) -> type[SagaDefinition]:
    child = define(step("b"), name="samples.leg", input=OrderInput, undo_after_completion=True)
    leg = SubSaga(child, input=lambda ctx: ctx.input, name="leg")
    return define(step("a"), leg, step("c"), input=OrderInput)


def _run_and_wait(stage: Stage) -> None:
    run(stage)
    advance(2 * MINUTE)


def _hosted(stage: Stage) -> None:
    stage.start()
    Runner(linger=timedelta(0), budget=2 * MINUTE).run()


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
    saga = stage.start()
    run_due()
    advance(2 * MINUTE)
    stage.tell("paid")
    run_due()
    stage.operate(saga, "acknowledge")


def _answer_to_callback(stage: Stage) -> None:
    with stage.boundaries.passed_over():
        saga = stage.start()
        run_due()
    with suppress(AnswerRefused):  # It was heard the first time.
        answer(saga.pk, "wait", {"run": stage.run})
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

    def handle(event: Event) -> None:
        if not stage.was_looked_at:
            raise PermanentFailure("Somebody has to look.")
        stage.start()

    subscribe("ordered", name="tests.crashes")(handle)
    try:
        publish(Event("ordered", {}, key=stage.run, id=uuid5(NAMESPACE_URL, f"{stage.run} ordered")))
        run_due()
        advance(MINUTE)
        stage.look()
        for letter in InboxMessage.objects.filter(status=InboxStatus.DEAD, key=stage.run):
            letters.requeue(letter.pk, by=OPERATOR)
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


def _sent_again(stage: Stage) -> None:
    """Whoever charges has lost what it was sent, and an operator sends it once more."""
    with stage.boundaries.passed_over():
        _arrive(stage, refuses=False)
        run_due()
    letter = InboxMessage.objects.get(subscriber=RESERVED, correlation_id=stage.run)
    if not letter.acts.exists():
        letters.send_again(letter.pk, by=OPERATOR, reason="They have lost it.")
    advance(MINUTE)


def _delivery_is_held(stage: Stage) -> None:
    """What is due is held, and released; who does it twice is refused."""
    with stage.boundaries.passed_over():
        _arrive(stage, refuses=False)
    letter = InboxMessage.objects.get(subscriber=ORDERED, correlation_id=stage.run)
    for act in (letters.hold, letters.release):
        with suppress(LetterRefused):
            act(letter.pk, by=OPERATOR, reason="They have asked for it.")
        with stage.boundaries.passed_over():
            run_due()
    advance(MINUTE)


def _case_is_undone(stage: Stage) -> None:
    """A handler refuses, and an operator has the case undone."""
    with stage.boundaries.passed_over():
        _arrive(stage, refuses=True)
        run_due()
    stage.operate(Saga.objects.get(pk=case_id(stage.run)), "compensate")
    advance(MINUTE)
    for letter in InboxMessage.objects.filter(status=InboxStatus.DEAD, correlation_id=stage.run):
        letters.resolve(letter.pk, by=OPERATOR, reason="It is undone.")


def _worker_is_found_dead(stage: Stage) -> None:
    hand = Hand()
    stage.start()
    hand.take()
    give_back([hand.id])
    run_due()
    advance(2 * MINUTE)


SCENARIOS = [
    Scenario("it completes", plain(), run),
    Scenario("it turns back", plain(), run, {"c": refused}, TURNED_BACK),
    Scenario(
        "an answer is lost",
        plain(step("a"), step("b", retry=STEADY), step("c")),
        _run_and_wait,
        {"b": _answered_at_second_try("b")},
    ),
    Scenario(
        "a compensation is busy",
        plain(step("a", undo_retry=STEADY), step("b"), step("c")),
        _run_and_wait,
        {"c": refused, "undo a": _undone_at_second_try},
        TURNED_BACK,
    ),
    Scenario(
        "an event comes",
        plain(step("a"), WaitForEvent("paid", correlate="{order_id}", timeout=HOUR, name="wait"), step("b")),
        _offer,
    ),
    Scenario(
        "an event came before",
        plain(step("a"), WaitForEvent("paid", correlate="{order_id}", timeout=HOUR, name="wait"), step("b")),
        _offer_early_and_recover,
    ),
    Scenario(
        "an event comes too late",
        plain(
            step("a"),
            WaitForEvent("paid", correlate="{order_id}", timeout=MINUTE, name="wait", pivot=True),
            step("b", undo=False),
        ),
        _offer_too_late,
        ends=EITHER,
        seen_to=True,
    ),
    Scenario(
        "a callback is answered",
        plain(step("a"), WaitForEvent("paid", correlate="{order_id}", timeout=HOUR, name="wait"), step("b")),
        _answer_to_callback,
    ),
    Scenario("a part is a saga", _with_child, run),
    Scenario("a part is a saga and turns back", _with_child, run, {"c": refused}, TURNED_BACK),
    Scenario("two want one thing", plain(step("a"), step("b"), locks=["order:{order_id}"]), _two_at_once),
    Scenario(
        "two share a narrow way",
        plain(step("a", participant=NARROW), step("b"), max_running=1),
        _two_at_once,
    ),
    Scenario("many are started", plain(step("a"), step("b"), key="{order_id}"), _many),
    Scenario("an event starts it", plain(step("a"), step("b")), _started_by_an_event),
    Scenario("its worker is found dead", plain(step("a"), step("b")), _worker_is_found_dead),
    Scenario("events carry it", plain(step("a")), _carried_by_events, others=_handlers, asking=("b",)),
    Scenario("a delivery is held", plain(step("a")), _delivery_is_held, others=_handlers, asking=("b",)),
    Scenario("an event is sent once more", plain(step("a")), _sent_again, others=_handlers, asking=("b",)),
    Scenario(
        "a case is undone",
        plain(step("a")),
        _case_is_undone,
        ends=TURNED_BACK,
        others=_handlers,
        asking=("b",),
    ),
    Scenario(
        "effects are in this database",
        plain(step("a"), step("b"), step("c")),
        run,
        {"a": _had_in_this_database, "undo a": _undone_in_this_database, "c": refused},
        TURNED_BACK,
    ),
    Scenario(
        "a runner hosts it",
        plain(step("a"), step("b", atomic=True), step("c", asynchronous=True)),
        _hosted,
        {"b": _written},
    ),
]
