"""Tells the project that a saga ended or needs a person, after the commit that made it so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial, update_wrapper
from uuid import UUID

from django.db import transaction
from django.dispatch import Signal
from django.utils.module_loading import import_string

from sagas.conf import saga_settings
from sagas.engine.locked import Locked
from sagas.models import Saga
from sagas.signals import saga_compensated, saga_completed, saga_needs_attention
from sagas.states import SagaStatus

log = logging.getLogger("sagas.attention")

_ENDINGS = {SagaStatus.COMPLETED: saga_completed, SagaStatus.COMPENSATED: saga_compensated}


def ring(batch: Iterable[Locked]) -> None:
    """Announce, once the transaction commits, which sagas ended and which need a person now."""
    for locked in batch:
        for entry in locked.entries:
            if entry.to_status == entry.from_status:
                continue
            if ending := _ENDINGS.get(SagaStatus(entry.to_status)) if entry.to_status else None:
                _after_commit(_send, ending, locked.saga.pk)
        if locked.saga.attention and any(e.data.get("attention") for e in locked.entries):
            saga = locked.saga
            _after_commit(_alert, saga.pk, saga.attention, f"{saga} needs attention: {saga.error}")


def log_alert(saga_id: UUID, attention: str, message: str) -> None:
    """Log at ERROR that a saga needs a person: the default of ``SAGAS["ALERT"]``."""
    log.error(message, extra={"saga_id": saga_id, "attention": attention})


def _after_commit(function: Callable[..., None], *arguments: object) -> None:
    # With a name, which Django wants to log when the function raises.
    callback = update_wrapper(partial(function, *arguments), function)
    transaction.on_commit(callback, using=Saga.objects.db, robust=True)


def _send(signal: Signal, saga_id: UUID) -> None:
    signal.send_robust(sender=Saga, saga_id=saga_id)


def _alert(saga_id: UUID, attention: str, message: str) -> None:
    saga_needs_attention.send_robust(sender=Saga, saga_id=saga_id, attention=attention)
    import_string(saga_settings().alert)(saga_id, attention, message)
