"""What the measured steps write. Without migrations: these tables live as long as one benchmark."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Effect(models.Model):
    """The one row that a step of the atomic workload writes."""

    objects: ClassVar[models.Manager[Effect]] = models.Manager()

    key = models.CharField(max_length=100)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.key


class Chain(models.Model):
    """The state of three plain django-q2 tasks, each of which starts the next."""

    objects: ClassVar[models.Manager[Chain]] = models.Manager()

    results = models.JSONField(default=dict)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        indexes = (
            models.Index("id", name="benchmarks_chain_live", condition=models.Q(ended_at__isnull=True)),
        )

    def __str__(self) -> str:
        return f"chain {self.pk}"
