"""The rows: the only truth there is. Messages and memory are hints."""

from sagas.models.fact import SagaFact
from sagas.models.history import ActorKind, HistoryEntry, HistoryKind
from sagas.models.idempotency import IdempotencyRecord
from sagas.models.saga import Saga
from sagas.models.step import SagaStep
from sagas.models.worker import Wake, Worker

__all__ = [
    "ActorKind",
    "HistoryEntry",
    "HistoryKind",
    "IdempotencyRecord",
    "Saga",
    "SagaFact",
    "SagaStep",
    "Wake",
    "Worker",
]
