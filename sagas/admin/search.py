"""What the search box understands: only what an index can answer."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

HELP = _(
    "A full id, or the beginning of a business key. Or with a qualifier: key:order:17, "
    "definition:orders.place_order, error:Timeout (the beginning of an error’s class)."
)

LOOKUPS = {"key": "key", "definition": "definition", "error": "error_class__startswith"}


def full_id(words: str) -> UUID | None:
    """Return the id that the words are, if they are one."""
    try:
        return UUID(words.strip())
    except ValueError:
        return None


def criteria(words: str) -> Q:
    """Return what sagas are searched for; words without a qualifier are the beginning of a key."""
    if (saga_id := full_id(words)) is not None:
        return Q(pk=saga_id)
    wanted, bare = Q(), []
    for word in words.split():
        qualifier, _colon, value = word.partition(":")
        if value and qualifier in LOOKUPS:
            wanted &= Q((LOOKUPS[qualifier], value))
            if qualifier == "error":
                wanted &= ~Q(error_class="")  # Says the same again, in the words of the partial index.
        else:
            bare.append(word)
    if bare:
        wanted &= Q(key__startswith=" ".join(bare))
    return wanted
