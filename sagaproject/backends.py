"""Who may do what, asked of the database in one statement."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.auth import backends
from django.contrib.auth.models import Permission, User
from django.db import connections


class ModelBackend(backends.ModelBackend):
    """Django's own, which asks twice, for a user's permissions and for those of the user's groups.

    And each time it puts the statement together anew: for a short request that was a third of its time.
    """

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return the permissions of a user and of the user's groups."""
        is_listed = user_obj.is_active and not user_obj.is_anonymous and not user_obj.is_superuser
        if obj is None and is_listed and not hasattr(user_obj, "_perm_cache"):
            using = User.objects.db
            with connections[using].cursor() as cursor:
                cursor.execute(_permissions(using), [user_obj.pk, user_obj.pk])
                user_obj._perm_cache = {f"{app}.{codename}" for app, codename in cursor.fetchall()}
        found: set[str] = super().get_all_permissions(user_obj, obj)
        return found


@cache
def _permissions(using: str) -> str:
    """Return the statement. Its parameters are the user's id, twice."""
    both = (Permission.objects.using(using).filter(**{of: 0}) for of in ("user", "group__user"))
    own, of_groups = (each.order_by().values_list("content_type__app_label", "codename") for each in both)
    sql: str = own.union(of_groups).query.sql_with_params()[0]
    return sql
