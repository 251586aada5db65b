"""Permissions as Django finds them, in one statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import backends
from django.contrib.auth.models import AnonymousUser, Group, Permission, User

from sagaproject.backends import ModelBackend

pytestmark = pytest.mark.django_db

KINDS: dict[str, Callable[[], Any]] = {
    "nobody known": AnonymousUser,
    "nothing": lambda: User.objects.create(username="sam"),
    "own": lambda: _user(own=["view_saga", "retry_saga"]),
    "of a group": lambda: _user(of_group=["view_saga"]),
    "of both": lambda: _user(own=["view_saga"], of_group=["view_saga", "abandon_saga"]),
    "gone": lambda: _user(own=["view_saga"], is_active=False),
    "everything": lambda: _user(is_superuser=True),
}


def _user(own=(), of_group=(), **options) -> User:
    user = User.objects.create(username="sam", **options)
    user.user_permissions.set(Permission.objects.filter(codename__in=own))
    group = Group.objects.create(name="operators")
    group.permissions.set(Permission.objects.filter(codename__in=of_group))
    user.groups.add(group)
    return user


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_those_that_django_finds(kind):
    user = KINDS[kind]()
    expected = backends.ModelBackend().get_all_permissions(user)
    user.__dict__.pop("_perm_cache", None)

    assert ModelBackend().get_all_permissions(user) == expected
    assert ModelBackend().get_all_permissions(user, obj=user) == set()


def test_one_statement_finds_them(django_assert_num_queries):
    user = _user(own=["view_saga"], of_group=["abandon_saga"])
    another = User.objects.create(username="olga")

    with django_assert_num_queries(1):
        assert user.has_perm("sagas.view_saga")
        assert user.has_perm("sagas.abandon_saga")
        assert not user.has_perm("sagas.retry_saga")
    assert not another.has_perm("sagas.view_saga")
