"""What the two models with a guarded status share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Q
from django_fsm import FSMField


class _Status(FSMField.descriptor_class):  # type: ignore[misc]  # Known when it runs.
    """Returns the status without asking the field, as a rule."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        state = None if instance is None else instance.__dict__.get("status")
        return super().__get__(instance, owner) if state is None else state


class StatusField(FSMField):
    """django-fsm's field, read in a quarter of the time: the planner reads nothing as often as statuses."""

    descriptor_class = _Status

    def get_state(self, instance: Any) -> Any:
        """Return the status; a deferred one is read from the database."""
        state = instance.__dict__.get(self.name)
        return super().get_state(instance) if state is None else state  # type: ignore[misc]

    def deconstruct(self) -> Any:
        """Name django-fsm's own field to migrations: it makes the same column."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django_fsm.FSMField", args, kwargs


class StatusModel(models.Model):
    """A model whose `status` only transitions change, and that can still be read anew."""

    class Meta:
        abstract = True

    _being_read: frozenset[str] = frozenset()

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Any] | None = None,
    ) -> None:
        """Read the row again, the protected status included."""
        wanted = None if fields is None else list(fields)
        if "status" not in self.__dict__ or (wanted is not None and "status" not in wanted):
            return super().refresh_from_db(using=using, fields=wanted, from_queryset=from_queryset)
        # A protected field refuses assignment only while it has a value: take that away for the read, and
        # put it back should the read fail.
        held = self.__dict__.pop("status")
        self._being_read = frozenset({"status"})
        try:
            super().refresh_from_db(using=using, fields=wanted, from_queryset=from_queryset)
        finally:
            del self._being_read
            self.__dict__.setdefault("status", held)
        return None

    def get_deferred_fields(self) -> set[str]:
        """Return the fields that are not loaded; one that is just being read anew is."""
        return super().get_deferred_fields() - self._being_read


def names_only(choices: type[models.TextChoices], *, of: str) -> models.CheckConstraint:
    """Return the constraint by which the database knows the statuses too."""
    return models.CheckConstraint(condition=Q(status__in=choices.values), name=f"sagas_{of}_status")
