"""What was deleted when its time was over, and by whom."""

from __future__ import annotations

from django.apps import apps
from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from sagas.admin.readonly import ReadOnlyAdmin
from sagas.models import Pruning


@admin.register(Pruning)
class PruningAdmin(ReadOnlyAdmin):
    """The latest first. What was deleted can be read in the archive alone, if there is one."""

    list_display = ("at", "actor", "rows", "before", "archive", "reason")
    ordering = ("-id",)

    @admin.display(description=_("rows"))
    def rows(self, pruning: Pruning) -> str:
        names = {label: apps.get_model(label)._meta.verbose_name_plural for label in pruning.counts}
        return ", ".join(f"{number} {names[label]}" for label, number in sorted(pruning.counts.items()))
