"""The rows: the only truth there is. Messages and memory are hints."""

from sagas.models.admission import Hold, Pace, Permit, SemanticLock
from sagas.models.batch import BatchStatus, ItemState, SagaBatch, SagaBatchItem
from sagas.models.fact import SagaFact
from sagas.models.history import ActorKind, HistoryEntry, HistoryKind
from sagas.models.idempotency import IdempotencyRecord
from sagas.models.message import (
    IN_THE_WAY,
    DeadLetterAct,
    EventKey,
    InboxMessage,
    InboxStatus,
    OutboxMessage,
    OutboxStatus,
)
from sagas.models.pruning import Pruning
from sagas.models.saga import Saga
from sagas.models.step import SagaStep
from sagas.models.worker import Wake, Worker

__all__ = [
    "IN_THE_WAY",
    "ActorKind",
    "BatchStatus",
    "DeadLetterAct",
    "EventKey",
    "HistoryEntry",
    "HistoryKind",
    "Hold",
    "IdempotencyRecord",
    "InboxMessage",
    "InboxStatus",
    "ItemState",
    "OutboxMessage",
    "OutboxStatus",
    "Pace",
    "Permit",
    "Pruning",
    "Saga",
    "SagaBatch",
    "SagaBatchItem",
    "SagaFact",
    "SagaStep",
    "SemanticLock",
    "Wake",
    "Worker",
]
