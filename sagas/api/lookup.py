from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound

from sagas.models import Saga


def saga_of(pk: str | UUID, *, with_input: bool = False) -> Saga:
    """Return the saga of an id in an address. Raise `NotFound`, also for what is no id."""
    sagas = Saga.objects.all() if with_input else Saga.objects.defer("input")
    try:
        return sagas.get(pk=pk if isinstance(pk, UUID) else UUID(pk))
    except (ValueError, Saga.DoesNotExist):
        raise NotFound(_("There is no saga %(id)s.") % {"id": pk}) from None
