"""Hands the definitions' own findings to Django's system checks."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register

from sagas.definitions import choreographies, registry, subscriptions
from sagas.definitions.checks import registry_problems
from sagas.definitions.event_checks import event_problems


@register("sagas")
def check_definitions(**kwargs: Any) -> list[CheckMessage]:
    """Every registered definition can be run, and undone."""
    return [
        Error(problem.message, hint=problem.hint or None, id=problem.id)
        for problem in registry_problems(registry)
    ]


@register("sagas")
def check_events(**kwargs: Any) -> list[CheckMessage]:
    """Every subscription and choreography can be told from the others, and be met by events."""
    return [
        Error(problem.message, hint=problem.hint or None, id=problem.id)
        for problem in event_problems(subscriptions, choreographies)
    ]
