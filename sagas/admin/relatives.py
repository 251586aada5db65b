"""Sagas that one saga started, or was started by."""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import gettext as _

from sagas.models import Saga

MOST_RELATIVES = 50


def relatives(saga: Saga) -> list[tuple[str, Saga]]:
    """Return them, each with what it is to the saga: one statement."""
    ours = Q(parent=saga) | Q(continues=saga) | Q(restarted_from=saga)
    theirs = [pk for pk in (saga.parent_id, saga.continues_id, saga.restarted_from_id) if pk]
    found = Saga.objects.filter(ours | Q(pk__in=theirs)).defer("input").order_by("created_at", "pk")
    return [(_relation(saga, other), other) for other in found[:MOST_RELATIVES]]


def _relation(saga: Saga, other: Saga) -> str:
    if other.pk == saga.parent_id:
        return _("Its parent")
    if other.pk == saga.continues_id:
        return _("It was started by a step of")
    if other.pk == saga.restarted_from_id:
        return _("It was started again from")
    if other.parent_id == saga.pk:
        return _("Its child, step %(step)s") % {"step": other.parent_step}
    return _("Started by one of its steps") if other.continues_id == saga.pk else _("Started again as")
