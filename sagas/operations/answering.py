"""Answers of other systems to sagas that wait for them, at the address that a step handed out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from sagas.definitions import WaitForEvent, registry
from sagas.engine.callbacks import answer_id
from sagas.exceptions import AnswerRefused
from sagas.keys import render_key
from sagas.messaging import SUBSCRIBER, offer
from sagas.models import InboxMessage, Saga, SagaStep
from sagas.states import Direction, StepStatus, WaitsFor


def answer(saga_id: UUID, wait: str, data: dict[str, Any]) -> tuple[UUID, str]:
    """Leave the event that a saga waits for, or is about to wait for; return its id and its topic.

    It counts once. Raises `AnswerRefused`, `NotStorable` and `Saga.DoesNotExist`.
    """
    with transaction.atomic(using=Saga.objects.db):
        # Its row keeps a second answer waiting until it can see the first.
        saga = Saga.objects.select_for_update(no_key=True).filter(pk=saga_id).first()
        if saga is None:
            raise Saga.DoesNotExist(_("There is no saga %(id)s any more.") % {"id": saga_id})
        pk = answer_id(saga_id, wait)
        if InboxMessage.objects.filter(subscriber=SUBSCRIBER, event_id=pk).exists():
            text = _("This callback has been used: its answer has come, and counts once.")
            raise AnswerRefused(text, code="callback_spent", saga=saga)
        topic, key = _address(saga, wait)
        offer(topic, data, key=key, id=pk)
        return pk, topic


def _address(saga: Saga, wait: str) -> tuple[str, str]:
    """Return topic and key of a wait: as it waits now, or as it is going to. Raise `AnswerRefused`."""
    step = saga.steps.filter(name=wait).first()
    if step is not None and step.waits_on.startswith("event:"):
        _kind, topic, key = step.waits_on.split(":", 2)
        if step.status in (StepStatus.WAITING, StepStatus.FAILED):  # Failed: it is known to come too late.
            return topic, key
    definition = registry.get(saga.definition)
    element = definition.outline().steps.get(wait) if definition else None
    if not (_is_ahead(saga, step) and isinstance(element, WaitForEvent)):
        raise AnswerRefused(
            _("%(saga)s is %(status)s and does not wait for %(wait)s any more.")
            % {"saga": saga, "status": saga.status, "wait": wait},
            code="not_waiting",
            saga=saga,
        )
    try:
        return element.topic, render_key(element.correlate, _values(saga))
    except ValueError as error:
        raise AnswerRefused(
            _("%(saga)s cannot tell yet what %(wait)s is to wait for: %(error)s. Answer again later.")
            % {"saga": saga, "wait": wait, "error": error},
            code="not_waiting",
            saga=saga,
        ) from error


def _is_ahead(saga: Saga, step: SagaStep | None) -> bool:
    """Whether the saga is still to come to a wait. What arrives before that is kept until it does."""
    if step is None or not saga.is_live or saga.direction == Direction.BACK:
        return False
    return step.status == StepStatus.PENDING or (
        step.status == StepStatus.WAITING and step.waits_for != WaitsFor.EVENT
    )


def _values(saga: Saga) -> dict[str, Any]:
    """Return what the key of a wait is made of."""
    done = saga.steps.filter(status=StepStatus.COMPLETED).values_list("name", "result")
    return {"key": saga.key, **dict(done), **saga.input}
