"""What is known of one saga when all is over: how it was declared, its rows, and the books of the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.chaos.ledger import Kind, Line, Service

UNTRUSTWORTHY = (Service.KEYED, Service.DUMB)
"""They keep no tombstones. Where there is none, a request later than declared is beyond every promise."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A step as its definition says it."""

    name: str
    stage: int
    service: Service | None
    """None where it only waits."""
    undoable: bool = True
    pivot: bool = False
    lands_within: float = 0.0
    """Seconds after it was marked as sent within which a request takes effect, or never."""


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """A step as the database has it."""

    name: str
    status: str
    attempts: int = 1
    undo_attempts: int = 0
    in_doubt: bool = False
    idempotency_key: str = ""
    undo_key: str = ""
    result: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class HistoryRow:
    """An entry of a saga's history."""

    kind: str
    at: float = 0.0
    actor: str = ""
    operation: str = ""
    reason: str = ""
    from_status: str = ""
    to_status: str = ""
    step: str = ""
    direction: str = ""
    attempt: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Books:
    """A saga, from all sides."""

    id: str
    definition: str
    status: str
    fence: int = 1
    attention: str = ""
    declared: Sequence[Declared]
    steps: Sequence[StepRow]
    history: Sequence[HistoryRow] = ()
    lines: Sequence[Line] = ()
    """The world's lines of it and those of its local steps, in their order."""
    purse: str = ""
    """What it had for itself while it lived."""
    is_child: bool = False
    children: Sequence[str] = ()
    """Where the sagas stand that are its parts."""
    open_wishes: Sequence[str] = ()
    """Kinds of facts that nobody has acted on."""
    accepted: Sequence[str] = ()
    """The operations that a client was told are accepted."""
    uncertain: Sequence[str] = ()
    """Those whose answer no client has seen."""

    @cached_property
    def declared_by_name(self) -> dict[str, Declared]:
        return {each.name: each for each in self.declared}

    @cached_property
    def row(self) -> dict[str, StepRow]:
        return {step.name: step for step in self.steps}

    def of_kind(self, *kinds: Kind) -> list[Line]:
        """Return the lines of these kinds."""
        return [line for line in self.lines if line.kind in kinds]

    def is_beyond(self, effect: Line) -> bool:
        """Say whether an effect came later than its service says it can, and nothing there could stop it."""
        declared = self.declared_by_name.get(effect.step)
        if declared is None or (declared.undoable and effect.service not in UNTRUSTWORTHY):
            return False
        asked = next(
            (
                line
                for line in self.of_kind(Kind.ASKED)
                if (line.step, line.way, line.attempt) == (effect.step, effect.way, effect.attempt)
            ),
            None,
        )
        if asked is None or not asked.seen:
            return False
        since_sent: float = asked.seen["age"] + effect.at - asked.at
        return since_sent > declared.lands_within
