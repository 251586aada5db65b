"""The saga id on every log line, in threads and in tasks alike."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

current_saga: ContextVar[UUID | None] = ContextVar("current_saga", default=None)


@contextmanager
def tracing(saga_id: UUID) -> Iterator[None]:
    """Mark every log line of the block as belonging to this saga."""
    token = current_saga.set(saga_id)
    try:
        yield
    finally:
        current_saga.reset(token)


class SagaIdFilter(logging.Filter):
    """Give each record a ``saga_id``: the saga it was written for, or ``-``."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "saga_id"):
            record.saga_id = current_saga.get() or "-"
        return True
