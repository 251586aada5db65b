"""Starts sagas, in the caller's own transaction."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.db import transaction

from sagas.canonical import canonical, is_storable
from sagas.definitions import REFUSE, SagaDefinition, registry
from sagas.definitions.checks import definition_problems
from sagas.engine.admission import lock_names, lock_now
from sagas.engine.births import business_key, new_saga, store
from sagas.engine.inputs import validated, validated_each
from sagas.exceptions import DefinitionError, DuplicateKey, IdempotencyKeyReused, InputRefused
from sagas.keys import MAX_KEY, saga_id_for, template_names
from sagas.models import HistoryKind, Saga
from sagas.operations.actors import Actor, By
from sagas.operations.editing import unedited
from sagas.states import LIVE
from sagas.telemetry import current_saga, traceparent_of
from sagas.wake import wake_on_commit


class IfLive(enum.Enum):
    """What `start` does when a live saga holds the business key already."""

    RAISE = "raise"
    RETURN = "return"


MOST_TRIES = 5
"""A live saga may end between the insert it stood in the way of and the look at it."""

RAISE: Final = IfLive.RAISE
RETURN: Final = IfLive.RETURN


def start(
    definition: type[SagaDefinition] | str,
    input: Mapping[str, Any],
    *,
    key: str | None = None,
    idempotency_key: str | None = None,
    if_live: IfLive = RAISE,
    by: By = None,
    correlation_id: str | None = None,
    traceparent: str | None = None,
) -> Saga:
    """Start a saga and return it; a worker takes it once the caller's transaction commits.

    `key` is the business key of a definition that derives none from its input. `idempotency_key` makes the
    saga's id: the same caller starting again under it gets the same saga. `traceparent` is the W3C trace
    context it belongs to, by default the caller's own; one that is malformed is ignored. A saga that a step
    of another starts continues that one.

    Raises `InputRefused`, `DuplicateKey` (a live saga holds the key and `if_live` is RAISE),
    `IdempotencyKeyReused` (with another input than the first time), `LockHeld` (by a definition that refuses
    to wait), `UnknownDefinition`, `DefinitionError`.
    """
    cls = _definition(definition)
    actor = Actor.of(by)
    stored = validated(cls, input)
    saga = _prepared(cls, stored, key, actor, idempotency_key, correlation_id, traceparent_of(traceparent))
    # A lock that is held is found out when the saga is stored, and what was stored is taken back.
    may_be_taken_back = bool(cls.locks) and cls.on_locked is REFUSE
    for _ in range(MOST_TRIES):
        with transaction.atomic(using=Saga.objects.db, savepoint=may_be_taken_back):
            if saga.pk in store([saga], cls):
                lock_now([saga], cls)
                wake_on_commit(Saga.objects.db)
                return saga
        if (existing := _existing(saga, if_live, idempotency_key)) is not None:
            return existing
    raise _unstartable(saga)


def start_many(
    definition: type[SagaDefinition] | str, inputs: Iterable[Mapping[str, Any]], *, by: By = None
) -> list[Saga]:
    """Start a saga for each input: all of them, or none. Raises as `start` does."""
    cls = _definition(definition)
    actor = Actor.of(by)
    traceparent = traceparent_of(None)
    sagas = [
        _prepared(cls, stored, None, actor, None, None, traceparent) for stored in validated_each(cls, inputs)
    ]
    if not sagas:
        return []
    with transaction.atomic(using=Saga.objects.db):
        missing = sagas
        for _ in range(MOST_TRIES):
            stored = store(missing, cls)
            lock_now([saga for saga in missing if saga.pk in stored], cls)
            missing = [saga for saga in missing if saga.pk not in stored]
            for saga in missing:
                # Where the batch holds twins, the first is stored and is the live saga here.
                _existing(saga, RAISE, None)
            if not missing:
                wake_on_commit(Saga.objects.db)
                return sagas
        raise _unstartable(missing[0])


def _definition(definition: type[SagaDefinition] | str) -> type[SagaDefinition]:
    cls = registry.named(definition if isinstance(definition, str) else definition.name)
    if problems := list(definition_problems(cls)):
        told = " ".join(f"{problem.id}: {problem.message}" for problem in problems)
        raise DefinitionError(f"No {cls.name} saga can be started while its definition is wrong. {told}")
    return cls


def _prepared(
    definition: type[SagaDefinition],
    input: dict[str, Any],
    key: str | None,
    actor: Actor,
    idempotency_key: str | None,
    correlation_id: str | None,
    traceparent: str,
) -> Saga:
    try:
        lock_names(definition, input)
    except ValueError as error:
        raise InputRefused(
            f"{definition.name} was not started: its locks cannot be named: {error}.", {"locks": [str(error)]}
        ) from error
    given = {"key": key, "idempotency_key": idempotency_key, "correlation_id": correlation_id}
    for name, text in given.items():
        if text is not None and not (is_storable(text) and 0 < len(text) <= MAX_KEY):
            raise InputRefused(
                f"{definition.name} was not started: its {name} must have 1 to {MAX_KEY} characters, and "
                "neither NUL nor lone surrogates.",
                {name: [f"1 to {MAX_KEY} characters that can be stored."]},
            )
    return new_saga(
        definition,
        input=input,
        key=_business_key(definition, input, key),
        saga_id=saga_id_for(idempotency_key, client=actor.name, definition=definition.name)
        if idempotency_key
        else None,
        started_by=actor.name,
        correlation_id=correlation_id,
        traceparent=traceparent,
        continues=current_saga.get(),
    )


def _business_key(definition: type[SagaDefinition], input: Mapping[str, Any], key: str | None) -> str | None:
    if definition.key is None:
        return key
    if key is not None:
        raise InputRefused(
            f"{definition.name} was not started with the key {key!r}: it makes its own, {definition.key!r}. "
            "Leave the key out.",
            {"key": ["This definition makes its own key."]},
        )
    if missing := sorted(name for name in template_names(definition.key) if input.get(name) is None):
        raise InputRefused(
            f"{definition.name} was not started: its key {definition.key!r} needs {', '.join(missing)}.",
            {name: ["The saga's key is made of it."] for name in missing},
        )
    try:
        return business_key(definition, input)
    except ValueError as error:
        raise InputRefused(f"{definition.name} was not started: {error}.", {"key": [str(error)]}) from error


def _existing(saga: Saga, if_live: IfLive, idempotency_key: str | None) -> Saga | None:
    """Return the stored saga that stands in for the new one, or raise why it may not.

    None: the live saga that held the key has ended since, and the new one can be stored after all.
    """
    if idempotency_key and (same := Saga.objects.filter(pk=saga.pk).first()):
        if (same.key, _first_input(same)) != (saga.key, canonical(saga.input)):
            raise IdempotencyKeyReused(
                f"The idempotency key {idempotency_key!r} was first used with another input, for {same}. "
                "Use a new key for a new request."
            )
        return same
    live = Saga.objects.filter(definition=saga.definition, key=saga.key, status__in=LIVE).first()
    if live is None or if_live is RETURN:
        return live
    raise DuplicateKey(
        f"{saga.definition} was not started: saga {live.pk} holds the key {saga.key!r} and is {live.status}. "
        "Wait until it has ended, or start with if_live=RETURN to be given it.",
        live,
    )


def _first_input(saga: Saga) -> str:
    """Return what a saga was started with, in canonical form, whatever operators have made of it since."""
    edits = saga.history.filter(kind=HistoryKind.ACT, operation="edit").order_by("-id")
    return canonical(unedited(saga.input, edits.values_list("data", flat=True)))


def _unstartable(saga: Saga) -> DuplicateKey:
    return DuplicateKey(
        f"{saga.definition} was not started: sagas with the key {saga.key!r} came and went meanwhile. "
        "Try again.",
        saga,
    )
