"""Shared by the tests of operations."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User


@pytest.fixture
def operator(db):
    """Someone who may do nothing yet."""
    return User.objects.create(username="operator")


def allow(user: User, *codenames: str) -> User:
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    return User.objects.get(pk=user.pk)
