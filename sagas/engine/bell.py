"""Tells the project which sagas ended and which need a person, once that is committed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial, update_wrapper
from uuid import UUID

from django.db import transaction
from django.utils.module_loading import import_string

from sagas.conf import saga_settings
from sagas.engine.locked import Locked
from sagas.models import Saga
from sagas.signals import saga_compensated, saga_completed, saga_needs_attention
from sagas.states import SagaStatus

log = logging.getLogger("sagas.attention")

_ENDINGS = {SagaStatus.COMPLETED.value: saga_completed, SagaStatus.COMPENSATED.value: saga_compensated}


@dataclass(frozen=True)
class News:
    """What is to be told of a saga: how it ended, or why it needs a person."""

    saga_id: UUID
    ending: str = ""
    attention: str = ""
    message: str = ""


def news_of(batch: Iterable[Locked]) -> list[News]:
    """Return what has become of these sagas that the project wants to know."""
    news = []
    for locked in batch:
        saga = locked.saga
        for entry in locked.entries:
            if entry.to_status in _ENDINGS and entry.to_status != entry.from_status:
                news.append(News(saga.pk, ending=entry.to_status))
            if attention := entry.data.get("attention"):
                news.append(
                    News(saga.pk, attention=attention, message=f"{saga} needs attention: {saga.error}")
                )
    return news


def announce(news: Sequence[News]) -> None:
    """Send the signals and call the alert, once the transaction commits or now if none is open.

    What receivers raise is logged.
    """
    if news:
        callback = update_wrapper(partial(_tell, news), _tell)  # Django logs the callback's name.
        transaction.on_commit(callback, using=Saga.objects.db, robust=True)


def _tell(news: Sequence[News]) -> None:
    for item in news:
        if item.ending:
            _ENDINGS[item.ending].send_robust(sender=Saga, saga_id=item.saga_id)
        if item.attention:
            saga_needs_attention.send_robust(sender=Saga, saga_id=item.saga_id, attention=item.attention)
            _alert(item)


def _alert(item: News) -> None:
    try:
        import_string(saga_settings().alert)(item.saga_id, item.attention, item.message)
    except Exception:
        log.exception("SAGAS['ALERT'] failed for saga %s: %s", item.saga_id, item.message)


def log_alert(saga_id: UUID, attention: str, message: str) -> None:
    """Log at ERROR that a saga needs a person: the default of ``SAGAS["ALERT"]``."""
    log.error("%s", message, extra={"saga_id": saga_id, "attention": attention})
