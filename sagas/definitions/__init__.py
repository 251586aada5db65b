"""What authors of sagas write: pure data that names no model and does no I/O."""

from sagas.definitions.context import StepContext
from sagas.definitions.definition import Outline, SagaDefinition
from sagas.definitions.elements import (
    ALWAYS,
    COMPENSATE,
    HALT,
    NEVER,
    Exhausted,
    Parallel,
    Participant,
    Resend,
    Step,
    is_async,
)
from sagas.definitions.policies import PATIENT, PERSISTENT, STANDARD, RetryPolicy
from sagas.definitions.registry import register, registry

__all__ = [
    "ALWAYS",
    "COMPENSATE",
    "HALT",
    "NEVER",
    "PATIENT",
    "PERSISTENT",
    "STANDARD",
    "Exhausted",
    "Outline",
    "Parallel",
    "Participant",
    "Resend",
    "RetryPolicy",
    "SagaDefinition",
    "Step",
    "StepContext",
    "is_async",
    "register",
    "registry",
]
