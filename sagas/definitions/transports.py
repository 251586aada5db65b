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
    """``redis+streams://…``, or as kombu has it: ``amqp://…``, ``confluentkafka://…``, ``sqs://…``."""
    _: KW_ONLY
    sends: Sequence[str] = ()
    """The topics whose events are sent there."""
    receives: Sequence[str] = ()
    """What the queue is bound to: topics, with ``*`` for one word and ``#`` for any."""
    exchange: str = "sagas"
    """To which events are sent; of Redis the stream."""
    queue: str = ""
    """From which `consume_events` takes, and whose consumers share its events; of Redis the group."""
    keep: int | None = None
    """How many events a stream of Redis keeps at least; older ones go, read or not. None: all."""

    def __repr__(self) -> str:
        return f"Transport({self.name!r})"
