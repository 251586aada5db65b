"""Who is at work, and which wake-ups are on their way."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from sagas.clock import InsertTime


class Worker(models.Model):
    """A runner at work in some process. It beats while its loop turns."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("process id"))
    group = models.PositiveIntegerField(_("process group"))
    """The operating system's: the processes of one cluster share it."""
    queue = models.CharField(_("queue"), max_length=100)
    started_at = models.DateTimeField(_("started"), db_default=InsertTime())
    beat_at = models.DateTimeField(_("last beat"), db_default=InsertTime())
    slots = models.PositiveIntegerField(_("slots"))
    busy = models.PositiveIntegerField(_("busy"), default=0)

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"

    @staticmethod
    def name_of(worker: uuid.UUID, process: str) -> str:
        """Return what histories call a runner: its process, and the end of its id."""
        return f"{process[-150:]} {str(worker)[-8:]}"


class Wake(models.Model):
    """A wake-up on its way: while the row is there, another for the same second needs no message."""

    queue = models.CharField(_("queue"), max_length=100)
    at = models.DateTimeField(_("at"))
    """Cut to the second, so that a lost message silences one second and no more."""

    class Meta:
        verbose_name = _("wake-up")
        verbose_name_plural = _("wake-ups")
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=("queue", "at"), name="sagas_wake_once"),)

    def __str__(self) -> str:
        return f"{self.queue} at {self.at}"
