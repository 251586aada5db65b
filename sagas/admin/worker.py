"""Who is at work."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from sagas.admin.readonly import ReadOnlyAdmin
from sagas.admin.times import ago
from sagas.models import Worker


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """A runner is here while it runs; between wake-ups none need be."""

    list_display = ("process", "queue", "started", "beat", "slots", "busy")
    ordering = ("-beat_at", "id")

    @admin.display(description=_("process"))
    def process(self, worker: Worker) -> str:
        return str(worker)

    @admin.display(description=_("started"))
    def started(self, worker: Worker) -> SafeString:
        return ago(worker.started_at)

    @admin.display(description=_("last beat"))
    def beat(self, worker: Worker) -> SafeString:
        return ago(worker.beat_at)
