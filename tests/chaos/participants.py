"""How steps reach their services, and what they make of the answers."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from sagas import OutcomeUnknown, PermanentFailure, RetryLater, StepContext, participants
from sagas.models import SagaStep
from sagas.states import StepStatus
from tests.chaos.ledger import Kind, Service
from tests.chaos.models import Entry
from tests.chaos.parts import WRITTEN
from tests.chaos.wire import WORLD, Message, NoAnswer, ask, ask_on_loop

PATIENCE = 3.5
"""Seconds until a sync call gives up by itself: later than the engine gives it up."""
LONG = 10.0
"""Seconds for which a local call waits at most to be undone before it does anything."""
SOON = timedelta(milliseconds=200)

Act = Callable[[StepContext], dict[str, Any]]
F = TypeVar("F", bound=Callable[..., Any])
ActOnLoop = Callable[[StepContext], Awaitable[dict[str, Any]]]


class Failed(Exception):
    """The service answered 500: whether it did anything is not known."""


def acting(name: str, service: Service) -> Act:
    """Return an action that asks a service."""

    def act(ctx: StepContext) -> dict[str, Any]:
        return _understood(ctx, asked(_message(ctx, "do", name, service)))

    return _named(act, name)


def acting_on_loop(name: str, service: Service) -> ActOnLoop:
    """Return an action that asks a service without blocking."""

    async def act(ctx: StepContext) -> dict[str, Any]:
        try:
            answer = await ask_on_loop(os.environ[WORLD], _message(ctx, "do", name, service))
        except NoAnswer as error:
            raise OutcomeUnknown(str(error)) from error
        return _understood(ctx, answer)

    return _named(act, name)


def undoing(name: str, service: Service) -> Act:
    """Return a compensation that asks a service."""

    def undo(ctx: StepContext) -> dict[str, Any]:
        return _understood(ctx, asked(_message(ctx, "undo", name, service)))

    return _named(undo, f"undo_{name}")


def probing(name: str, service: Service) -> Callable[[StepContext], dict[str, Any] | None]:
    """Return a probe that asks a service what it knows of the key."""

    def probe(ctx: StepContext) -> dict[str, Any] | None:
        found = asked(_message(ctx, "probe", name, service))["result"]
        return None if found is None else found | {"probed": True}

    return _named(probe, f"probe_{name}")


def acting_here(name: str) -> Act:
    """Return an action in this database, guarded by its key."""

    def act(ctx: StepContext) -> dict[str, Any]:
        fate = _fate(ctx, name)
        _meet(ctx, name, fate, before=True)
        key = ctx.idempotency_key

        def happen() -> dict[str, Any]:
            _enter(ctx, name, Service.LOCAL, Kind.DONE, key)
            return {}

        participants.effect_once(key, happen)
        _meet(ctx, name, fate, before=False)
        return {"attempt": ctx.attempt}

    return _named(act, name)


def undoing_here(name: str) -> Callable[[StepContext], None]:
    """Return its compensation."""

    def undo(ctx: StepContext) -> None:
        assert ctx.undoes is not None
        undoes = ctx.undoes
        fate = _fate(ctx, f"undo {name}")
        _meet(ctx, name, fate, before=True)
        participants.undo_once(undoes, lambda result: _enter(ctx, name, Service.LOCAL, Kind.UNDONE, undoes))
        _meet(ctx, name, fate, before=False)

    return _named(undo, f"undo_{name}")


def writing(name: str) -> Act:
    """Return an action that writes a row together with its outcome, tells of it, and has no other guard."""

    def write(ctx: StepContext) -> dict[str, Any]:
        _enter(ctx, name, Service.ATOMIC, Kind.DONE, ctx.idempotency_key)
        ctx.publish(WRITTEN)
        fate = _fate(ctx, name)
        _meet(ctx, name, fate, before=True)
        _meet(ctx, name, fate, before=False)
        return {"attempt": ctx.attempt}

    return _named(write, name)


def erasing(name: str) -> Callable[[StepContext], None]:
    """Return its compensation."""

    def erase(ctx: StepContext) -> None:
        assert ctx.undoes is not None
        undoes = ctx.undoes

        def happen() -> dict[str, Any]:
            _enter(ctx, name, Service.ATOMIC, Kind.UNDONE, undoes)
            return {}

        participants.effect_once(ctx.idempotency_key, happen)

    return _named(erase, f"undo_{name}")


def asked(message: Message) -> Message:
    """Ask the world. Raises `OutcomeUnknown` where it does not answer."""
    try:
        return ask(os.environ[WORLD], message, within=PATIENCE)
    except NoAnswer as error:
        raise OutcomeUnknown(str(error)) from error


def understood(answer: Message) -> Any:
    """Return what an answer gives. Raises what it means where it gives nothing."""
    match answer["status"]:
        case 409:
            raise PermanentFailure("The service refuses.")
        case 429:
            raise RetryLater("The service is busy.", delay=SOON)
        case 500:
            raise Failed
    return answer["result"]


def _message(ctx: StepContext, what: str, name: str, service: Service) -> Message:
    return {
        "ask": what,
        "service": service,
        "saga": str(ctx.saga_id),
        "event": "",
        "step": name,
        "way": "forward" if ctx.undoes is None else "back",
        "key": ctx.idempotency_key,
        "undoes": ctx.undoes,
        "attempt": ctx.attempt,
        "fates": _fates(ctx, name if ctx.undoes is None else f"undo {name}"),
        "results": dict(ctx.results),
        "pid": os.getpid(),
    }


def _understood(ctx: StepContext, answer: Message) -> dict[str, Any]:
    return {**understood(answer), "attempt": ctx.attempt}


def _fates(ctx: StepContext, call: str) -> list[str]:
    found: list[str] = ctx.input["plan"].get(call, [])
    return found


def _fate(ctx: StepContext, call: str) -> str:
    fates = _fates(ctx, call)
    return fates[ctx.attempt - 1] if ctx.attempt <= len(fates) else "ok"


def _meet(ctx: StepContext, name: str, fate: str, *, before: bool) -> None:
    """Do what a service's fate is, where the service is this process."""
    match fate, before:
        case "refuse", True:
            raise PermanentFailure("The service refuses.")
        case "busy", True:
            raise RetryLater("The service is busy.", delay=SOON)
        case ("error", True) | ("error_after", False):
            raise Failed
        case "too_late", True:
            _wait_until_undone(ctx, name)


def _wait_until_undone(ctx: StepContext, name: str) -> None:
    given_up_at = time.monotonic() + LONG
    undone = SagaStep.objects.filter(saga=ctx.saga_id, name=name, status=StepStatus.COMPENSATED)
    while not undone.exists() and time.monotonic() < given_up_at:
        time.sleep(0.02)


def _enter(ctx: StepContext, name: str, service: Service, kind: Kind, key: str) -> None:
    Entry.objects.create(saga=ctx.saga_id, step=name, service=service, kind=kind, key=key)


def _named(function: F, name: str) -> F:
    function.__name__ = function.__qualname__ = name
    return function
