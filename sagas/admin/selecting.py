"""What the list of sagas shows, as a selection that a batch can keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from sagas.admin import search
from sagas.admin.filters import ANY, STUCK, CreatedFilter
from sagas.admin.tabs import PARAMETER
from sagas.exceptions import BatchRefused
from sagas.operations.selection import Selection
from sagas.states import TERMINAL, SagaStatus


def _values(*statuses: SagaStatus) -> list[str]:
    return [status.value for status in statuses]


TABS: dict[str, dict[str, Any]] = {
    "attention": {"attention": ANY},
    "running": {"status__in": _values(SagaStatus.PENDING, SagaStatus.RUNNING)},
    "compensating": {"status__in": _values(SagaStatus.COMPENSATING)},
    "suspended": {"status__in": _values(SagaStatus.SUSPENDED)},
    "finished": {"status__in": _values(*TERMINAL)},
    "all": {},
}
PLAIN = ("status", "definition", "error_class")
NO_FILTER = ("p", "o", "e", "all")
"""Parameters of the list that select nothing."""


def selection_of(query: Mapping[str, str]) -> Selection:
    """Return what the list's address selects. Raise `BatchRefused` where a batch cannot keep that."""
    wanted: dict[str, Any] = {}
    for name, value in query.items():
        if name in PLAIN:
            wanted[name] = value
        elif name == PARAMETER and value in TABS:
            wanted = TABS[value] | wanted
        elif name == "failed_step":
            wanted |= {"status": SagaStatus.FAILED.value, "failed_step": value}
        elif name == "attention" and value != STUCK:
            wanted["attention"] = value
        elif name == "created":
            wanted |= {f"created_at__{end}": moment for end, moment in CreatedFilter.bounds(value)}
        elif name == "q":
            if (saga_id := search.full_id(value)) is not None:
                return Selection(ids=(saga_id,))
            wanted |= _searched(value)
        elif name not in NO_FILTER:
            raise _unkept(f"{name}={value}")
    return Selection(filter=wanted)


def _searched(words: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    bare = []
    for word in words.split():
        qualifier, _colon, value = word.partition(":")
        if value and qualifier in ("key", "definition"):
            found[qualifier] = value
        elif value and qualifier == "error":
            raise _unkept(word)
        else:
            bare.append(word)
    return found | ({"key__startswith": " ".join(bare)} if bare else {})


def _unkept(what: str) -> BatchRefused:
    text = _(
        "No batch was drafted: it cannot keep the filter %(what)s. Leave it out, or select the sagas page by "
        "page."
    )
    return BatchRefused(text % {"what": what}, code="unknown_filter")
