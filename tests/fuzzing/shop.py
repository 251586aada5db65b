"""What there is to be found by those requests: users, and sagas in every state."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from rest_framework.authtoken.models import Token

from orders.demo import shop
from orders.services import place_order
from orders.trouble import Trouble
from sagas import start
from sagas.models import Saga
from sagas.operations.performing import perform
from sagas.testing import run_due

OPERATES = ("sagas", "orders")
"""Apps of which the operator has every permission."""


@dataclass(frozen=True)
class Opened:
    """What was made."""

    tokens: dict[str, str | None]
    """By whom they are used; nobody has none."""
    sagas: list[str]


def open_for_everyone() -> Opened:
    """Make tables, users and sagas on an empty database."""
    call_command("migrate", verbosity=0)
    shop.open_shop()
    tokens: dict[str, str | None] = {"anonymous": None}
    for name, wanted in {
        "viewer": Permission.objects.filter(codename__startswith="view_"),
        "operator": Permission.objects.filter(content_type__app_label__in=OPERATES),
    }.items():
        user = User.objects.create_user(name)
        user.user_permissions.set(wanted)
        tokens[name] = Token.objects.create(user=user).key
    return Opened(tokens, [str(pk) for pk in _sagas()])


def _sagas() -> list[object]:
    for trouble in (Trouble.NONE, Trouble.CARD_DECLINED):
        place_order("somebody@example.com", {"teapot": 1}, trouble=trouble)
    run_due()
    waiting = [start("orders.return_order", {"order_id": str(uuid4())}) for _ in range(4)]
    perform(waiting[0].pk, "suspend", by=None)
    perform(waiting[1].pk, "abandon", by=None)
    return list(Saga.objects.values_list("pk", flat=True))
