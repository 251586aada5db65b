"""Who outside is told what became of sagas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

COMPLETED = "saga.completed"
COMPENSATED = "saga.compensated"
FAILED = "saga.failed"
NEEDS_ATTENTION = "saga.needs_attention"
NEWS = (COMPLETED, COMPENSATED, FAILED, NEEDS_ATTENTION)


@dataclass(frozen=True)
class Webhook:
    """An address that is sent the news of sagas, signed with a secret that it knows."""

    name: str
    """Stored with every delivery: keep it when the address changes."""
    url: str
    secret: str
    _: KW_ONLY
    definitions: Sequence[str] = ()
    """Only sagas of these; none: of all."""
    events: Sequence[str] = NEWS
    private: bool = False
    """Whether it may be in a private network. Else that is refused, whatever its name resolves to."""

    def __repr__(self) -> str:
        return f"Webhook({self.name!r}, {self.url!r})"
