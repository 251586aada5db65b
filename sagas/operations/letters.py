"""What a person does about a delivery.

A dead letter is delivered again, or said to need that no more; whoever lost what they were sent may be sent
it again; and what is due may be held, and be released.

Each act is recorded with who, why and how the delivery stood, in the transaction of the act; refused ones
too. Nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from sagas.canonical import clean_text
from sagas.choreography import cases
from sagas.clock import database_now
from sagas.definitions import subscriptions
from sagas.exceptions import LetterRefused
from sagas.keys import case_id
from sagas.messaging import SUBSCRIBER
from sagas.models import DeadLetterAct, InboxMessage, InboxStatus, Saga
from sagas.operations.actors import Actor, By
from sagas.operations.operation import Refusal
from sagas.states import Direction, SagaStatus
from sagas.wake import wake_on_commit

REQUEUE = "sagas.requeue_deadletter"
RESOLVE = "sagas.resolve_deadletter"
HOLD = "sagas.hold_delivery"

Rule = Callable[[InboxMessage, str, Saga | None], Refusal | None]
"""Says, of a delivery, the reason that is given and the delivery's case, why something is not done."""


def requeue(letter_id: int, *, by: By, reason: str = "") -> InboxMessage:
    """Have a dead letter delivered again, with a new round of tries.

    Raises `LetterRefused`, after its record was committed, and `InboxMessage.DoesNotExist`.
    """
    return _perform(letter_id, "requeue", REQUEUE, _not_to_requeue, _make_due, by=by, reason=reason)


def resolve(letter_id: int, *, by: By, reason: str) -> InboxMessage:
    """Say why a dead letter needs no delivery any more; later events of its key go on.

    Raises `LetterRefused`, after its record was committed, and `InboxMessage.DoesNotExist`.
    """
    return _perform(letter_id, "resolve", RESOLVE, _not_to_resolve, _close, by=by, reason=reason)


def send_again(letter_id: int, *, by: By, reason: str) -> InboxMessage:
    """Have an event delivered once more to a subscriber who has handled it, or of whom that was said.

    What it publishes then has the ids that it had before, and so is told once. Raises `LetterRefused`, after
    its record was committed, and `InboxMessage.DoesNotExist`.
    """
    return _perform(letter_id, "send_again", REQUEUE, _not_again, _make_due, by=by, reason=reason)


def hold(letter_id: int, *, by: By, reason: str) -> InboxMessage:
    """Keep a delivery from its subscriber until it is released; later events of its key wait with it.

    One whose call is being made is refused: it may be held when that has come back. Raises `LetterRefused`,
    after its record was committed, and `InboxMessage.DoesNotExist`.
    """
    return _perform(letter_id, "hold", HOLD, _not_to_hold, _hold, by=by, reason=reason)


def release(letter_id: int, *, by: By, reason: str = "") -> InboxMessage:
    """Have a delivery that was held made at once, with the tries that it had left.

    Raises `LetterRefused`, after its record was committed, and `InboxMessage.DoesNotExist`.
    """
    return _perform(letter_id, "release", HOLD, _not_to_release, _release, by=by, reason=reason)


def alike(letter: InboxMessage) -> QuerySet[InboxMessage]:
    """Select the dead letters of the same topic to the same subscriber with the same error."""
    return InboxMessage.objects.filter(
        status=InboxStatus.DEAD,
        subscriber=letter.subscriber,
        topic=letter.topic,
        error_class=letter.error_class,
    )


def _perform(
    letter_id: int,
    operation: str,
    permission: str,
    rule: Rule,
    change: Callable[[InboxMessage], None],
    *,
    by: By,
    reason: str,
) -> InboxMessage:
    actor, reason = Actor.of(by), clean_text(reason)
    alias = InboxMessage.objects.db
    with transaction.atomic(using=alias):
        case = _locked_case(letter_id)
        letter = InboxMessage.objects.select_for_update().get(pk=letter_id)
        refusal = _lacking(permission, actor) or rule(letter, reason, case)
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


def _lacking(permission: str, actor: Actor) -> Refusal | None:
    if actor.may(permission):
        return None
    return Refusal(
        "permission_denied",
        _("%(name)s lacks the permission %(permission)s.") % {"name": actor.name, "permission": permission},
    )


def _not_to_requeue(letter: InboxMessage, reason: str, case: Saga | None) -> Refusal | None:
    if letter.status != InboxStatus.DEAD:
        return _not_dead(letter)
    if case is None or case.direction == Direction.FORWARD or letter.headers.get("is_way_back"):
        return None
    if letter.in_doubt and case.status != SagaStatus.COMPENSATED:
        return None  # It may have happened: the way back waits to hear what came of it.
    return Refusal(
        "case_closed",
        _("its case has been undone, or is being, and what it led to would stand. Resolve it."),
    )


def _not_to_resolve(letter: InboxMessage, reason: str, case: Saga | None) -> Refusal | None:
    if letter.status != InboxStatus.DEAD:
        return _not_dead(letter)
    if not reason.strip():
        return Refusal("reason_required", _("say why it needs no delivery any more."))
    return None


def _not_dead(letter: InboxMessage) -> Refusal:
    return Refusal("not_dead", _("it is %(status)s, and no dead letter.") % {"status": letter.status})


def _not_again(letter: InboxMessage, reason: str, case: Saga | None) -> Refusal | None:
    if letter.status not in (InboxStatus.DONE, InboxStatus.RESOLVED) or letter.subscriber == SUBSCRIBER:
        return Refusal(
            "not_done",
            _("it is %(status)s: nobody has handled it who could once more.") % {"status": letter.status},
        )
    if not reason.strip():
        return Refusal("reason_required", _("say why what was handled is to be handled once more."))
    if case and case.direction == Direction.BACK and not letter.headers.get("is_way_back"):
        return Refusal("case_closed", _("its case was undone, and nothing of it goes forward any more."))
    return None


def _not_to_hold(letter: InboxMessage, reason: str, case: Saga | None) -> Refusal | None:
    if letter.status == InboxStatus.HELD:
        return Refusal("already_held", _("it is held already. Release it when it may go on."))
    if letter.status != InboxStatus.DUE:
        return Refusal(
            "not_due", _("it is %(status)s, and nothing of it is left to hold.") % {"status": letter.status}
        )
    if letter.held_by and letter.due_at and letter.due_at > database_now(InboxMessage.objects.db):
        return Refusal(
            "in_flight",
            _("call %(number)d is being made. Hold it when that has come back, if it is still due.")
            % {"number": letter.tries},
        )
    if not reason.strip():
        return Refusal("reason_required", _("say why it is held."))
    return None


def _not_to_release(letter: InboxMessage, reason: str, case: Saga | None) -> Refusal | None:
    if letter.status == InboxStatus.HELD:
        return None
    return Refusal("not_held", _("it is %(status)s, and not held.") % {"status": letter.status})


def _locked_case(letter_id: int) -> Saga | None:
    """Return the saga that a delivery belongs to, if it belongs to one.

    It stays locked, and before its delivery, as whoever closes it does.
    """
    correlation_id = InboxMessage.objects.values_list("correlation_id", flat=True).get(pk=letter_id)
    return Saga.objects.select_for_update(no_key=True).filter(pk=case_id(correlation_id)).first()


def _make_due(letter: InboxMessage) -> None:
    letter.status = InboxStatus.DUE
    letter.tries = letter.crashes = 0
    letter.due_at = database_now(InboxMessage.objects.db)
    letter.began_at = letter.ended_at = None


def _hold(letter: InboxMessage) -> None:
    if letter.held_by is not None:  # Its worker was lost, which counts as when another takes it over.
        subscription = subscriptions.get(letter.subscriber)
        letter.crashes += 1
        letter.in_doubt |= subscription is None or not subscription.atomic
    letter.status, letter.held_by, letter.due_at = InboxStatus.HELD, None, None


def _release(letter: InboxMessage) -> None:
    letter.status, letter.due_at = InboxStatus.DUE, database_now(InboxMessage.objects.db)


def _close(letter: InboxMessage) -> None:
    letter.status = InboxStatus.RESOLVED
    letter.ended_at = database_now(InboxMessage.objects.db)
