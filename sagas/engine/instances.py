"""Instances of our models, made as a batch needs them: thousands at once.

The checks and signals of ``Model.__init__`` and ``Model.from_db`` cost as much as the reading of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

from django.db.models import F, Model, QuerySet
from django.db.models.base import ModelState

from sagas.engine.queries import Among, fetch_among

M = TypeVar("M", bound=Model)


@cache
def columns(model: type[Model], *without: str) -> tuple[str, ...]:
    """Return what the instances of a model call their columns, without these."""
    return tuple(field.attname for field in model._meta.concrete_fields if field.attname not in without)


def stored(model: type[M], names: Sequence[str], row: Sequence[Any], alias: str) -> M:
    """Return the instance of a row that was read from `alias`; fields that are not named are deferred."""
    instance = model.__new__(model)
    instance._state = ModelState()
    instance._state.adding = False
    instance._state.db = alias
    instance.__dict__.update(zip(names, row, strict=True))
    return instance


def by_id(model: type[M], pk: Any, *without: str) -> M | None:
    """Return the instance of this id, without these columns, or None.

    In words that are kept: to have Django find them takes longer than to look.
    """
    names, alias = columns(model, *without), model._default_manager.db
    rows = fetch_among(_of_ids, [pk], model, names, alias=alias)
    return stored(model, names, rows[0], alias) if rows else None


def _of_ids(ids: Sequence[Any], model: type[Model], names: tuple[str, ...]) -> QuerySet[Any, tuple[Any, ...]]:
    return model._default_manager.filter(Among(F("pk"), ids)).order_by().values_list(*names)


def like(pattern: M, **values: Any) -> M:
    """Return a new instance that differs from `pattern` in these fields, named as their columns are.

    What is mutable in the pattern is shared by all that are like it.
    """
    instance = type(pattern).__new__(type(pattern))
    instance.__dict__.update(pattern.__dict__, _state=ModelState(), **values)
    return instance
