"""Who asks, and what there is to be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from rest_framework.authtoken.models import Token

from benchmarks.growth import fill
from sagas.models import Saga


@dataclass(frozen=True)
class Opened:
    """What was made."""

    tokens: dict[str, str]
    saga: str


def open_shop(*, sagas: int) -> Opened:
    """Make tables, so many finished sagas, and two users: one with permissions, one who needs none."""
    call_command("migrate", verbosity=0)
    fill(sagas=sagas, warm_up=0)
    operator = User.objects.create_user("operator")
    operator.user_permissions.set(Permission.objects.filter(content_type__app_label="sagas"))
    superuser = User.objects.create_superuser("superuser")
    tokens = {user.username: Token.objects.create(user=user).key for user in (operator, superuser)}
    return Opened(tokens, str(Saga.objects.latest("created_at").pk))
