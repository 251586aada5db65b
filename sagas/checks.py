"""Hands the definitions' own findings to Django's system checks."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register

from sagas.definitions import registry
from sagas.definitions.checks import registry_problems


@register("sagas")
def check_definitions(**kwargs: Any) -> list[CheckMessage]:
    """Every registered definition can be run, and undone."""
    return [
        Error(problem.message, hint=problem.hint or None, id=problem.id)
        for problem in registry_problems(registry)
    ]
