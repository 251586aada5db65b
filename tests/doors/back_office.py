"""The addresses of a project that has an admin site of its own beside the default one."""

from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import path

from sagas.admin import (
    HistoryEntryAdmin,
    HoldAdmin,
    InboxMessageAdmin,
    OutboxMessageAdmin,
    SagaAdmin,
    SagaBatchAdmin,
    SagaStepAdmin,
    WorkerAdmin,
)
from sagas.models import (
    HistoryEntry,
    Hold,
    InboxMessage,
    OutboxMessage,
    Saga,
    SagaBatch,
    SagaStep,
    Worker,
)


class BackOffice(admin.AdminSite):
    """A project's own."""


site = BackOffice(name="back_office")
site.register(Saga, SagaAdmin)
site.register(SagaStep, SagaStepAdmin)
site.register(HistoryEntry, HistoryEntryAdmin)
site.register(Worker, WorkerAdmin)
site.register(SagaBatch, SagaBatchAdmin)
site.register(Hold, HoldAdmin)
site.register(OutboxMessage, OutboxMessageAdmin)
site.register(InboxMessage, InboxMessageAdmin)
site.register(User)

urlpatterns = [path("admin/", admin.site.urls), path("back-office/", site.urls)]
