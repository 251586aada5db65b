"""What a person does about a dead letter: have it delivered again, or say that it needs that no more.

Each act is recorded with who, why and how the delivery stood, in the transaction of the act; refused ones
too. Nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.db import transaction

from sagas.canonical import clean_text
from sagas.choreography import cases
from sagas.clock import database_now
from sagas.exceptions import LetterRefused
from sagas.models import DeadLetterAct, InboxMessage, InboxStatus
from sagas.operations.actors import Actor, By
from sagas.operations.operation import Refusal
from sagas.wake import wake_on_commit

REQUEUE = "sagas.requeue_deadletter"
RESOLVE = "sagas.resolve_deadletter"


def requeue(letter_id: int, *, by: By, reason: str = "") -> InboxMessage:
    """Have a dead letter delivered again, with a new round of tries.

    Raises `LetterRefused`, after its record was committed, and `InboxMessage.DoesNotExist`.
    """
    return _perform(letter_id, "requeue", REQUEUE, by=by, reason=reason, change=_make_due)


def resolve(letter_id: int, *, by: By, reason: str) -> InboxMessage:
    """Say why a dead letter needs no delivery any more; later events of its key go on.

    Raises `LetterRefused`, after its record was committed, and `InboxMessage.DoesNotExist`.
    """
    return _perform(letter_id, "resolve", RESOLVE, by=by, reason=reason, change=_close)


def _perform(
    letter_id: int,
    operation: str,
    permission: str,
    *,
    by: By,
    reason: str,
    change: Callable[[InboxMessage], None],
) -> InboxMessage:
    actor, reason = Actor.of(by), clean_text(reason)
    alias = InboxMessage.objects.db
    with transaction.atomic(using=alias):
        letter = InboxMessage.objects.select_for_update().get(pk=letter_id)
        refusal = _refusal(letter, operation, permission, actor, reason)
        DeadLetterAct.objects.create(
            message=letter,
            actor_kind=actor.kind,
            actor=actor.name,
            operation=operation,
            reason=reason,
            refusal=refusal.code if refusal else "",
            data={
                "status": letter.status,
                "tries": letter.tries,
                "crashes": letter.crashes,
                "error_class": letter.error_class,
                "error": letter.error,
            },
        )
        if refusal is None:
            change(letter)
            letter.save()
            transaction.on_commit(partial(cases.hint, [letter.correlation_id]), using=alias)
            wake_on_commit(alias)
            return letter
    raise LetterRefused(
        f"{operation} was refused for the delivery of {letter.topic} to {letter.subscriber}: {refusal.why}",
        code=refusal.code,
        letter=letter,
    )


def _refusal(
    letter: InboxMessage, operation: str, permission: str, actor: Actor, reason: str
) -> Refusal | None:
    if not actor.may(permission):
        return Refusal("permission_denied", f"{actor.name} lacks the permission {permission}.")
    if letter.status != InboxStatus.DEAD:
        return Refusal("not_dead", f"it is {letter.status}, and no dead letter.")
    if operation == "resolve" and not reason.strip():
        return Refusal("reason_required", "say why it needs no delivery any more.")
    return None


def _make_due(letter: InboxMessage) -> None:
    letter.status = InboxStatus.DUE
    letter.tries = letter.crashes = 0
    letter.due_at = database_now(InboxMessage.objects.db)
    letter.began_at = letter.ended_at = None


def _close(letter: InboxMessage) -> None:
    letter.status = InboxStatus.RESOLVED
    letter.ended_at = database_now(InboxMessage.objects.db)
