"""Who asks: a user, a command, or code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sagas.canonical import clean_text
from sagas.models import ActorKind, Saga


class PermissionHolder(Protocol):
    """What the engine needs of a user."""

    def get_username(self) -> str: ...
    def has_perm(self, perm: str, obj: Any = None) -> bool: ...


By: TypeAlias = PermissionHolder | str | None
"""A user, ``"command:name@host"``, the name of the code that asks, or nobody in particular."""


@dataclass(frozen=True)
class Actor:
    """Who asked, as the history keeps it."""

    kind: ActorKind
    name: str
    user: PermissionHolder | None = None

    @classmethod
    def of(cls, by: By) -> Actor:
        """Return the actor that `by` stands for."""
        if by is None or by == "":
            return cls(ActorKind.CODE, "")
        if isinstance(by, str):
            kind = ActorKind.COMMAND if by.startswith("command:") else ActorKind.CODE
            return cls(kind, clean_text(by)[:200])
        return cls(ActorKind.USER, by.get_username()[:200], by)

    def may(self, permission: str, saga: Saga | None = None) -> bool:
        """Say whether the actor has the permission, for all sagas or this one. Code and commands have all."""
        if self.user is None:
            return True
        return self.user.has_perm(permission) or (saga is not None and self.user.has_perm(permission, saga))
