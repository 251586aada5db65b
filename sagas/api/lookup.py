from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound

from sagas.engine.instances import by_id
from sagas.models import Saga


def saga_of(pk: str | UUID, *, with_input: bool = False) -> Saga:
    """Return the saga of an id in an address. Raise `NotFound`, also for what is no id."""
    saga_id = _id(pk) if isinstance(pk, str) else pk
    saga = by_id(Saga, saga_id, *(() if with_input else ("input",))) if saga_id else None
    if saga is None:
        raise NotFound(_("There is no saga %(id)s.") % {"id": pk})
    return saga


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
