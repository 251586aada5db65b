from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound

from sagas.engine.instances import columns, stored
from sagas.engine.queries import Among, fetch_among
from sagas.models import Saga


def saga_of(pk: str | UUID, *, with_input: bool = False) -> Saga:
    """Return the saga of an id in an address. Raise `NotFound`, also for what is no id."""
    names, alias = columns(Saga, *(() if with_input else ("input",))), Saga.objects.db
    try:
        [row] = fetch_among(_of_ids, [pk if isinstance(pk, UUID) else UUID(pk)], names, alias=alias)
    except ValueError:
        raise NotFound(_("There is no saga %(id)s.") % {"id": pk}) from None
    return stored(Saga, names, row, alias)


def _of_ids(sagas: Sequence[UUID], names: tuple[str, ...]) -> QuerySet[Saga, tuple[Any, ...]]:
    # In words that are kept: to have Django find them takes longer than all else that a look at a saga does.
    return Saga.objects.filter(Among(F("pk"), sagas)).order_by().values_list(*names)
