"""Names that stay the same for every attempt on every worker: ids, idempotency keys, business keys."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from uuid_utils.compat import uuid7

from sagas.states import Direction

MAX_KEY = 200


def new_saga_id() -> UUID:
    """Return a UUIDv7: sagas started later sort later."""
    return uuid7()


def saga_id_for(idempotency_key: str, *, client: str, definition: str) -> UUID:
    """Return the id of the saga that this client starts under this key.

    It is derived, so that a start which was lost in a failover and is repeated makes the same saga, and
    with it the same idempotency keys for every step.
    """
    return uuid5(NAMESPACE_URL, "\x1f".join((client, definition, idempotency_key)))


def step_key(saga_id: UUID, step: str, direction: Direction) -> UUID:
    """Return the idempotency key of a step's action (forward) or compensation (back)."""
    return uuid5(saga_id, f"{step}:{direction.value}")


def template_names(template: str) -> set[str]:
    """Return the names a key template asks for. Raise `ValueError` if it is not one.

    A template holds plain names in braces, ``order:{order_id}``: no attributes, indexes, conversions or
    formats.
    """
    names = set()
    for _literal, name, spec, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise ValueError(f"{{{name}}} is not a plain name")
        names.add(name)
    return names


def render_key(template: str, values: Mapping[str, Any]) -> str:
    """Fill a key template. Raise `ValueError` if the key comes out longer than 200 characters."""
    key = template.format_map(values)
    if len(key) > MAX_KEY:
        raise ValueError(f"the key {key[:40]!r}… has {len(key)} characters, more than {MAX_KEY}")
    return key
