"""Durable sagas for Django: what authors import to define sagas, and callers to start them.

The definition API names no model and can be imported before the apps are ready; what touches the database is
imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sagas.definitions import (
    ALWAYS,
    COMPENSATE,
    CONTINUE,
    HALT,
    NEVER,
    PATIENT,
    PERSISTENT,
    QUEUE,
    REFUSE,
    STANDARD,
    TURN_BACK,
    Approval,
    Callback,
    Choreography,
    Event,
    Expect,
    Migration,
    Parallel,
    Participant,
    RetryPolicy,
    SagaDefinition,
    Sleep,
    Step,
    StepContext,
    SubSaga,
    SubSagas,
    Transport,
    WaitForEvent,
    Webhook,
    register,
    subscribe,
)
from sagas.exceptions import OutcomeUnknown, PermanentFailure, RetryLater

if TYPE_CHECKING:
    from sagas.engine.publications import publish
    from sagas.idempotency import idempotent
    from sagas.messaging import offer
    from sagas.operations.performing import cancel_saga
    from sagas.operations.starting import RAISE, RETURN, start, start_many

_LAZY = {
    "RAISE": "sagas.operations.starting",
    "RETURN": "sagas.operations.starting",
    "cancel_saga": "sagas.operations.performing",
    "idempotent": "sagas.idempotency",
    "offer": "sagas.messaging",
    "publish": "sagas.engine.publications",
    "start": "sagas.operations.starting",
    "start_many": "sagas.operations.starting",
}

__all__ = [
    "ALWAYS",
    "COMPENSATE",
    "CONTINUE",
    "HALT",
    "NEVER",
    "PATIENT",
    "PERSISTENT",
    "QUEUE",
    "RAISE",
    "REFUSE",
    "RETURN",
    "STANDARD",
    "TURN_BACK",
    "Approval",
    "Callback",
    "Choreography",
    "Event",
    "Expect",
    "Migration",
    "OutcomeUnknown",
    "Parallel",
    "Participant",
    "PermanentFailure",
    "RetryLater",
    "RetryPolicy",
    "SagaDefinition",
    "Sleep",
    "Step",
    "StepContext",
    "SubSaga",
    "SubSagas",
    "Transport",
    "WaitForEvent",
    "Webhook",
    "cancel_saga",
    "idempotent",
    "offer",
    "publish",
    "register",
    "start",
    "start_many",
    "subscribe",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
