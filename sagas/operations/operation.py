"""What an operation on a saga is, and a request for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q
from django.utils.functional import Promise

from sagas.engine.locked import Locked
from sagas.models import HistoryKind, SagaStep
from sagas.operations.actors import Actor


@dataclass(frozen=True)
class Refusal:
    """Why an operation cannot be done: a stable code, and why and what to do in words."""

    code: str
    why: str


class Refused(Exception):
    """An operation found out, while it was carried out, that it cannot be done."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.why)
        self.refusal = refusal


@dataclass(frozen=True)
class Request:
    """Who asks for an operation, why, and with which arguments."""

    operation: str
    actor: Actor
    reason: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def who_and_why(self) -> dict[str, Any]:
        """The history's fields that say who acted and why."""
        return {
            "actor_kind": self.actor.kind,
            "actor": self.actor.name,
            "operation": self.operation,
            "reason": self.reason,
        }

    @property
    def act(self) -> dict[str, Any]:
        """The history's fields for its record."""
        return {"kind": HistoryKind.ACT, **self.who_and_why}


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked of a saga."""

    name: str
    label: str | Promise
    permission: str
    refusal: Callable[[Locked, Request], Refusal | None]
    """Why it cannot be done now; None if it can."""
    perform: Callable[[Locked, Request], None]
    """Do it, or leave it as a fact, on a saga that is locked. May raise `Refused`."""
    candidates: Callable[[], Q]
    """Which sagas it may be asked of at all, as far as their rows tell."""
    arguments: tuple[str, ...] = ()
    """What it takes, each a keyword; those it needs come first, `needs` of them."""
    needs: int = 0
    permission_of: Callable[[Locked], str] | None = None
    """Where it is not the same for all sagas."""
    steps: Callable[[Locked], list[SagaStep]] | None = None
    """Which steps it may be about, where it takes one."""
    needs_reason: bool = False
    """Whether people are to say why: what it does is not easily made good."""

    def permission_for(self, locked: Locked) -> str:
        """Return what a user needs to have it done to this saga."""
        return self.permission_of(locked) if self.permission_of else self.permission
