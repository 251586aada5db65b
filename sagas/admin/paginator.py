"""Pages of a table that may have a million rows."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core import paginator
from django.db.models import QuerySet
from django.utils.formats import number_format
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    Paginator = paginator.Paginator[Any]
else:  # Django's own class takes no parameters at run time.
    Paginator = paginator.Paginator

MOST = 10_000
"""Rows are counted up to one more than this: nobody pages further, and counting them all takes seconds."""


class CappedPaginator(Paginator):
    """Counts no further than it has to, and says so."""

    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        """How many rows there are, at most `MOST` + 1."""
        return self.object_list.order_by().values("pk")[: MOST + 1].count()

    @property
    def shown_count(self) -> str:
        """The count for people to read."""
        return capped(self.count)


def capped(number: int) -> str:
    """Return a number that was counted up to `MOST` + 1, for people to read."""
    shown = number_format(min(number, MOST), force_grouping=True)
    return _("%(most)s+") % {"most": shown} if number > MOST else shown
