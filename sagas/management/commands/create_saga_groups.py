from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from sagas.operations.catalogue import OPERATIONS

VIEWERS = "Saga viewers"
OPERATORS = "Saga operators"
NOT_FOR_ALL = {"sagas.abandon_saga", "sagas.edit_saga"}
"""Ending a saga as it is, and changing what it works on: to be granted one by one."""


class Command(BaseCommand):
    help = (
        f"Create the groups {VIEWERS!r}, who see sagas, and {OPERATORS!r}, who also act on them. Neither "
        "may abandon sagas, edit their input or see data that is hidden. Safe to run again: permissions that "
        "were added by hand stay."
    )

    def handle(self, **options: Any) -> None:
        viewing = set(
            Permission.objects.filter(content_type__app_label="sagas", codename__startswith="view_")
            .exclude(codename="view_saga_data")
            .values_list("codename", flat=True)
        )
        operating = {
            permission.removeprefix("sagas.")
            for permission in {operation.permission for operation in OPERATIONS.values()} - NOT_FOR_ALL
        }
        with transaction.atomic():
            for name, codenames in (
                (VIEWERS, viewing),
                (
                    OPERATORS,
                    viewing | operating | {"start_saga", "hold_saga", "hold_delivery", "deliver_event"},
                ),
            ):
                self._create(name, codenames)

    def _create(self, name: str, codenames: set[str]) -> None:
        found = Permission.objects.filter(content_type__app_label="sagas", codename__in=codenames)
        if len(found) < len(codenames):
            raise CommandError("The permissions of sagas are not in the database. Run manage.py migrate.")
        group, is_new = Group.objects.get_or_create(name=name)
        group.permissions.add(*found)
        self.stdout.write(f"{'Created' if is_new else 'Kept'} {name} with {len(found)} permissions.")
