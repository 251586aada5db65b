"""Names that stay the same for every attempt on every worker: ids, idempotency keys, business keys."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from string import Formatter
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import uuid_utils
from uuid_utils.compat import uuid7

from sagas.states import Direction

MAX_KEY = 200
_WORD = re.compile(r"[\w-]+")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{8,}")
_TOLD = 300
"""Characters of an error's message that tell it from others."""


def new_saga_id() -> UUID:
    """Return a UUIDv7: sagas started later sort later."""
    return uuid7()


def saga_id_for(idempotency_key: str, *, client: str, definition: str) -> UUID:
    """Return the id of the saga that this client starts under this key.

    It is derived, so that a start which was lost in a failover and is repeated makes the same saga, and
    with it the same idempotency keys for every step.
    """
    return uuid5(NAMESPACE_URL, "\x1f".join((client, definition, idempotency_key)))


def child_id(parent: UUID, step: str, index: int | None = None) -> UUID:
    """Return the id of a child saga: the same, however often its parent's step is settled."""
    return uuid5(parent, f"child:{step}" if index is None else f"child:{step}:{index}")


def event_id(idempotency_key: str, number: int) -> UUID:
    """Return the id of an event that a step publishes: the same for every attempt of it."""
    return uuid5(NAMESPACE_URL, f"{idempotency_key}\x1f{number}")


def case_id(correlation_id: str) -> UUID:
    """Return the id of the saga that the events of this correlation id are, if they are a choreography."""
    return uuid5(NAMESPACE_URL, f"case\x1f{correlation_id}")


def undo_event_id(undone: UUID) -> UUID:
    """Return the id of the event that undoes another: the same, however often that is asked for."""
    return uuid5(undone, "undo")


def step_key(saga_id: UUID, step: str, direction: Direction) -> str:
    """Return the idempotency key of a step's action (forward) or compensation (back)."""
    # uuid_utils makes three of them while Python makes one.
    return str(uuid_utils.uuid5(uuid_utils.UUID(int=saga_id.int), f"{step}:{direction.value}"))


def next_undo_key(undo_key: str) -> str:
    """Return the idempotency key of a compensation that is made once more: the last one has its answer."""
    return str(uuid5(NAMESPACE_URL, f"again\x1f{undo_key}"))


def rendered_step_key(
    template: str, values: Mapping[str, Any], saga_id: UUID, direction: Direction, *, shared: bool
) -> str:
    """Fill a step's own key template; unless it is shared, no other saga's key can be equal to it."""
    key = render_key(template, values)
    return f"{key}:{direction.value}" if shared else f"{key}:{saga_id}:{direction.value}"


def template_names(template: str) -> set[str]:
    """Return the names a key template asks for. Raise `ValueError` if it is not one.

    A template holds plain names in braces, ``order:{order_id}``, or a step and a field of its result,
    ``{reserve.batch}``: no indexes, conversions or formats.
    """
    names = set()
    for _literal, name, spec, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not all(part.isidentifier() for part in name.split(".")) or spec or conversion:
            raise ValueError(f"{{{name}}} is not a plain name")
        names.add(name)
    return names


def render_key(template: str, values: Mapping[str, Any]) -> str:
    """Fill a key template.

    Raise `ValueError` if a name has no value, or the key comes out longer than 200 characters.
    """
    parts = []
    for literal, name, _spec, _conversion in Formatter().parse(template):
        parts.append(literal)
        if name is not None:
            parts.append(str(_value(name, values)))
    key = "".join(parts)
    if len(key) > MAX_KEY:
        raise ValueError(f"the key {key[:40]!r}… has {len(key)} characters, more than {MAX_KEY}")
    return key


def _value(name: str, values: Mapping[str, Any]) -> Any:
    value: Any = values
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        raise ValueError(f"{{{name}}} has no value")
    return value


def error_fingerprint(definition: str, step: str, error_class: str, message: str) -> str:
    """Return what errors of a kind have in common: step, class and message, whatever numbers it tells."""
    words = _WORD.sub(_without_number, message[:_TOLD])
    group = "\x1f".join((definition, step, error_class, " ".join(words.split())))
    return hashlib.sha256(group.encode(errors="replace")).hexdigest()[:16]


def _without_number(word: re.Match[str]) -> str:
    """Return a word, or a mark where it is a number, an id, or something else that no other error has."""
    is_number = any(letter.isdigit() for letter in word[0]) or _HEXADECIMAL.fullmatch(word[0])
    return "#" if is_number else word[0]
