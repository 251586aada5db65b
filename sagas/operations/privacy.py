"""Who may see what is sensitive in the data of a saga."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from sagas.models import Saga
from sagas.operations.actors import Actor, By
from sagas.redaction import declared_by, redacted

PERMISSION = "sagas.view_saga_data"

Shown: TypeAlias = Callable[[Any], Any]
"""Takes a JSON value, and returns what is shown of it."""


def shown_to(by: By, saga: Saga) -> Shown:
    """Return what the actor is shown of the saga's data: all of it, or what is not sensitive."""
    if Actor.of(by).may(PERMISSION, saga):
        return _all
    return partial(redacted, declared=declared_by(saga.definition))


def _all(value: Any) -> Any:
    return value
