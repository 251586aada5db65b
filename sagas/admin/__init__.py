"""The operators' console, in the admin that the project already has.

A project with an admin site of its own registers the classes there: ``site.register(Saga, SagaAdmin)``.
"""

from sagas.admin.batch import SagaBatchAdmin
from sagas.admin.delivery import InboxMessageAdmin
from sagas.admin.history import HistoryEntryAdmin
from sagas.admin.hold import HoldAdmin
from sagas.admin.message import OutboxMessageAdmin
from sagas.admin.pruning import PruningAdmin
from sagas.admin.saga import SagaAdmin
from sagas.admin.step import SagaStepAdmin
from sagas.admin.worker import WorkerAdmin

__all__ = [
    "HistoryEntryAdmin",
    "HoldAdmin",
    "InboxMessageAdmin",
    "OutboxMessageAdmin",
    "PruningAdmin",
    "SagaAdmin",
    "SagaBatchAdmin",
    "SagaStepAdmin",
    "WorkerAdmin",
]
