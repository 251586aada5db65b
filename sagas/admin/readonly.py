"""What the pages of all our models have in common: the engine writes the rows, people read them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_permission_codename
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import conditional_escape, format_html
from django.utils.module_loading import import_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import get_language

from sagas.admin.paginator import CappedPaginator
from sagas.admin.rows import with_addresses_from_one
from sagas.admin.times import NOTHING
from sagas.conf import saga_settings

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:  # A project whose admin is another's, such as Unfold's, has it here too.
    ModelAdmin = import_string(saga_settings().admin_base_class)


class _StandIn:
    """An object whose key and name are found again in what is drawn of it."""

    pk = "key-of-the-object"
    name = "name-of-the-object"

    def __str__(self) -> str:
        return self.name


class ReadOnlyAdmin(ModelAdmin):
    """Rows to be read, in lists that stay fast when they grow long."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 200
    empty_value_display = NOTHING
    sortable_by: ClassVar[tuple[str, ...]] = ()  # Sorting by a column without an index reads the whole table.
    lookups: frozenset[str] = frozenset()
    """What may be asked for in the address: the filters' names, and nothing that searches the whole table."""

    class Media:
        css = {"all": ("sagas/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the user may see the rows, or this one: permissions by object count too."""
        permission = f"{self.opts.app_label}.{get_permission_codename('view', self.opts)}"
        user = request.user
        return user.has_perm(permission) or (obj is not None and user.has_perm(permission, obj))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in self.lookups

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        base = super().get_changelist(request, **kwargs)
        return with_addresses_from_one(base)  # type: ignore[arg-type]  # Classes can be hashed.

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title} | (extra_context or {}))

    def action_checkbox(self, obj: Any) -> SafeString:
        """Draw the list's checkbox as our base class does, its template once and not for each row."""
        language = get_language()
        if language not in self._checkboxes:
            self._checkboxes[language] = str(super().action_checkbox(_StandIn()))
        drawn = self._checkboxes[language].replace(_StandIn.pk, conditional_escape(obj.pk))
        return mark_safe(drawn.replace(_StandIn.name, conditional_escape(str(obj))))

    @cached_property
    def _checkboxes(self) -> dict[str | None, str]:
        """What is drawn for a stand-in, by language."""
        return {}

    def page(
        self, request: HttpRequest, template: str, *, status: int = 200, **context: Any
    ) -> TemplateResponse:
        """Return a page of our own, within the site."""
        around = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, template, {**around, **context}, status=status)

    def url_of(self, name: str, *args: Any) -> str:
        """Return the address of one of our own views, on this site."""
        return reverse(f"admin:sagas_{name}", args=args, current_app=self.admin_site.name)

    def saga_url(self, saga_id: UUID) -> str:
        """Return the address of a saga's page on this site."""
        return self.url_of("saga_change", saga_id)

    def saga_link(self, saga_id: UUID) -> SafeString:
        """Return a link to a saga's page, with the end of its id: all ids of a day begin alike."""
        return format_html(
            '<a href="{}" title="{}"><code>{}</code></a>', self.saga_url(saga_id), saga_id, short(saga_id)
        )


def short(saga_id: UUID) -> str:
    """Return the last 8 digits of an id."""
    return str(saga_id)[-8:]
