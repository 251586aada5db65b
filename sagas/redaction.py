"""Keeps what is nobody's business out of what people read.

What is sensitive is known by the names of fields, at any depth: those a definition declares, and those that
look like credentials or cards. The texts of errors are masked before they are stored, for they go to logs,
lists and alerts; input and results are stored as the steps need them, and hidden from those who lack the
permission to see them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from sagas.conf import saga_settings
from sagas.definitions import registry

HIDDEN = "[hidden]"
LEAST_MASKED = 3
"""Characters; what is shorter is in every other word."""


def declared_by(definition: str) -> Collection[str]:
    """Return the names of fields that a definition declares to be sensitive; none if the code lacks it."""
    return registry[definition].sensitive if definition in registry else ()


def redacted(value: Any, declared: Collection[str] = ()) -> Any:
    """Return a JSON value with what is sensitive replaced by `HIDDEN`."""
    match value:
        case Mapping():
            return {
                name: HIDDEN if _hides(name, inner, declared) else redacted(inner, declared)
                for name, inner in value.items()
            }
        case list():
            return [redacted(inner, declared) for inner in value]
        case _:
            return value


def masked(text: str, values: Any, declared: Collection[str]) -> str:
    """Return a text in which no value of a declared field appears that is in these `values`."""
    if not declared or not text:
        return text
    for secret in sorted(set(_secrets(values, frozenset(declared))), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _hides(name: str, value: Any, declared: Collection[str]) -> bool:
    """Say whether a field is sensitive; that it is empty, or what is true or false, everybody may know."""
    if value is None or isinstance(value, bool):
        return False
    return name in declared or _names(saga_settings().sensitive_names).search(name) is not None


def _secrets(value: Any, declared: frozenset[str], *, inside: bool = False) -> Iterator[str]:
    match value:
        case Mapping():
            for name, inner in value.items():
                yield from _secrets(inner, declared, inside=inside or name in declared)
        case list():
            yield from _all_of(value, declared, inside)
        case None | bool():
            return
        case _ if inside and len(text := str(value)) >= LEAST_MASKED:
            yield text


def _all_of(values: Iterable[Any], declared: frozenset[str], inside: bool) -> Iterator[str]:
    for value in values:
        yield from _secrets(value, declared, inside=inside)


@cache
def _names(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
