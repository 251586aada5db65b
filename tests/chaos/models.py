"""What local and atomic steps write. Without migrations: this table lives as long as one run."""

from __future__ import annotations

import time
from typing import ClassVar

from django.db import models


class Entry(models.Model):
    """An effect in the sagas' own database, or its undoing. Nothing keeps it from being there twice."""

    objects: ClassVar[models.Manager[Entry]] = models.Manager()

    saga = models.UUIDField()
    step = models.CharField(max_length=100)
    service = models.CharField(max_length=10)
    kind = models.CharField(max_length=10)
    key = models.CharField(max_length=255)
    at = models.FloatField(default=time.time)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.step} of saga {self.saga}"


class Handled(models.Model):
    """What a handler of an event has written. Nothing keeps it from being there twice."""

    objects: ClassVar[models.Manager[Handled]] = models.Manager()

    event = models.UUIDField()
    subscriber = models.CharField(max_length=100)
    told = models.UUIDField(null=True)
    """The event that it published with it."""
    at = models.FloatField(default=time.time)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.subscriber} has handled {self.event}"
