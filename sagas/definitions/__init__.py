"""What authors of sagas write: pure data that names no model and does no I/O."""

from sagas.definitions.children import SubSaga, SubSagas
from sagas.definitions.choreographies import Choreography, Expect, choreographies
from sagas.definitions.context import Callback, StepContext
from sagas.definitions.definition import QUEUE, REFUSE, OnLocked, Outline, SagaDefinition
from sagas.definitions.elements import (
    COMPENSATE,
    CONTINUE,
    HALT,
    TURN_BACK,
    Element,
    Exhausted,
    Parallel,
    Step,
    TimedOut,
    is_async,
)
from sagas.definitions.events import Event
from sagas.definitions.migration import Migration
from sagas.definitions.participant import ALWAYS, NEVER, Participant, Resend
from sagas.definitions.policies import PATIENT, PERSISTENT, STANDARD, RetryPolicy
from sagas.definitions.registry import holdable, register, registry
from sagas.definitions.subscriptions import Subscription, subscribe, subscriptions
from sagas.definitions.transports import Transport
from sagas.definitions.waits import Approval, Sleep, WaitForEvent
from sagas.definitions.webhooks import Webhook

__all__ = [
    "ALWAYS",
    "COMPENSATE",
    "CONTINUE",
    "HALT",
    "NEVER",
    "PATIENT",
    "PERSISTENT",
    "QUEUE",
    "REFUSE",
    "STANDARD",
    "TURN_BACK",
    "Approval",
    "Callback",
    "Choreography",
    "Element",
    "Event",
    "Exhausted",
    "Expect",
    "Migration",
    "OnLocked",
    "Outline",
    "Parallel",
    "Participant",
    "Resend",
    "RetryPolicy",
    "SagaDefinition",
    "Sleep",
    "Step",
    "StepContext",
    "SubSaga",
    "SubSagas",
    "Subscription",
    "TimedOut",
    "Transport",
    "WaitForEvent",
    "Webhook",
    "choreographies",
    "holdable",
    "is_async",
    "register",
    "registry",
    "subscribe",
    "subscriptions",
]
