"""Message brokers outside, through which events go to other systems and come from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass


@dataclass(frozen=True)
class Transport:
    """A broker, what is sent to it, and what is received from it."""

    name: str
    """Stored with every delivery: keep it when the address changes."""
    url: str
    """As kombu has it: ``amqp://…``, ``redis://…``, ``confluentkafka://…``."""
    _: KW_ONLY
    sends: Sequence[str] = ()
    """The topics whose events are sent there."""
    receives: Sequence[str] = ()
    """What the queue is bound to: topics, with ``*`` for one word and ``#`` for any."""
    exchange: str = "sagas"
    queue: str = ""
    """From which `consume_events` takes; several consumers of one queue share its events."""

    def __repr__(self) -> str:
        return f"Transport({self.name!r})"
