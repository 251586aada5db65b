"""The lists that Django's admin makes, with the addresses of their rows made from one."""

from __future__ import annotations

from functools import cache, cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ChangeList

if TYPE_CHECKING:
    _Base = ChangeList
else:
    _Base = object


_KEY = "key-of-the-row"


class _Rows(_Base):
    """Django looks among all routes for each row's address, and then for what the address leads to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._filters, self.preserved_filters = self.preserved_filters, ""

    def url_for_result(self, result: Any) -> str:
        """Return the address of a row's page, with what leads back to this list."""
        return self._address.replace(_KEY, quote(str(result.pk)))

    @cached_property
    def _address(self) -> str:
        stand_in: Any = SimpleNamespace(**{self.pk_attname: _KEY})
        address = super().url_for_result(stand_in)
        filters: Any = {"preserved_filters": self._filters, "opts": self.opts}
        return str(add_preserved_filters(filters, address))


@cache
def with_addresses_from_one(base: type[ChangeList]) -> type[ChangeList]:
    """Return this kind of list with the addresses of its rows made from one."""
    return type(f"Rows{base.__name__}", (_Rows, base), {})
